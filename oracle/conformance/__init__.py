"""The samples of torch's own operator database, run on any engine and compared with torch.

The database (`op_db`) comes with the installed torch, and is read when it is asked for: no expected value is stored.
"""
