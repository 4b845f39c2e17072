"""The `regioncap` command.

    cli            the table of all commands, the global options, and what an end means
    commands       the commands, a module each noun
    options        options and arguments that several commands have;  metavars  their values in help

    context        speaking to people (stderr) and writing data (stdout); settings and client
    terminal       the one way to a terminal, where texts of others command nothing
    pipes          what is left to do when the reader of stdout has gone
    complaints     what errors look like
    words, tables  numbers, sizes and times in words; tables for people and pipes
    meter, board   the bar of work done here, and what `watch` shows of a job

    checks, gpu_checks, start_checks, memory_checks  what `doctor` looks at
    fleet                 what `top` looks at
    site                  the pages of `serve`
    origins, starter      where settings come from, and what `init` writes

It does its work through `regioncap`, most of it through `regioncap.client`. Modules are imported
where they are needed, so that `--help` and completion are quick.
"""
