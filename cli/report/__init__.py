"""`archiver report`: one page, in one file, that answers "is everything archived?".

reading.py asks the stack, document.py makes one JSON document of it (docs/report.schema.json),
page.py puts that into page.html. Whoever opens the file asks nobody.
"""
