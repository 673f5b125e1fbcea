"""Lessons: one idea a file, 40 to 120 lines that run in a moment, each ending in a picture and stated figures.

Every file here with a function `lesson` is one, found by listing the package: to add a lesson, add its file (and its
page in docs/lessons). `catalogue` finds and runs them, `picture` holds the style of their pictures.
"""
