"""Tables, migrations, and the check that a database fits this version."""
