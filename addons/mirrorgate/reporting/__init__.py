"""What a journal says, for a person, a program and a pipeline.

Here belong the reading of journals into one report, in bounded memory, and its three forms: text for a terminal, JSON,
and one HTML file that needs nothing else. The verdict in it is not computed here: the very code that judged live
judges the journal's records again (`comparison`, `shadow`), so that both come to the same totals.

Not here: the command line (`cli.reporting`), the journal's format (`shadow.recording`), the live dashboard (`proxy`).
"""
