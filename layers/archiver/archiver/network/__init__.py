"""HTTP over TLS, threads and deadlines: how anything is asked, whoever is asked."""
