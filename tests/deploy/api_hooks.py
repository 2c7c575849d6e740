"""What schemathesis cannot know from the description of the API.

A cursor is what a list gave out; no other text is one, whatever its form.
"""

import schemathesis

CURSORS = ("cursor", "after")


@schemathesis.hook
def map_query(context, query):
    """Leaves out cursors."""
    if query:
        for name in CURSORS:
            query.pop(name, None)
    return query


@schemathesis.hook
def map_headers(context, headers):
    """Leaves out the cursor of a stream."""
    if headers:
        for name in [name for name in headers if name.lower() == "last-event-id"]:
            del headers[name]
    return headers
