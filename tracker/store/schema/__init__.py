"""Tables, migrations, and the check that the database fits this version."""
