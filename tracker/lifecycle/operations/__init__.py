"""Decisions of operators and reports for them: joins by hand, pauses, lists, health, doctor, samples."""
