"""What was declared: Kubernetes objects as typed, frozen values, and their problems.

Here belong the shapes of the kinds that Mirrorgate understands, the way from the text of a manifest to objects or
to problems with file, line and field path, the inventory that holds the objects, and what follows from objects
alone, such as the endpoints that a Service selects.

Here does not belong what the objects mean for a request (`routing`), where their texts come from (`sources`), nor
anything that opens a file, asks a clock or logs: the package takes texts and mappings, and returns values.

Read in this order: `places`, `shapes`, `scalars` and `objects` (what every object is made of), one module for each
kind, `kinds` (which apiVersion and kind is which class), `manifest` with `manifest_builder` and `plain_scalar` (YAML
with lines), `loading` (the way in) and `wording` (how its problems read), `inventory` (the result), `endpoints` (what
references lead to) and `describing` (the way out).
"""
