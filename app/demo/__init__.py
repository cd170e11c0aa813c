"""A lively relay on a temporary database: ``agent-relay demo``.

A program of its own, and a client like any other: the relay is a child process, and everything in it came over HTTP.
:mod:`app.cli.demo` puts it together: a child, a stage, an opening, and then the show.
"""
