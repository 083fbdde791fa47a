"""The admin server: probes, metrics, views of what runs, changes that need a token, and the dashboard's page.

It asks for what it shows through `sources`, so that it knows neither the data plane nor the workers.
"""
