"""What every room needs: errors, records and digests, random streams, YAML, limits. It imports no other room.

Reading order:

errors        what can go wrong, as one tree of exceptions
text          cut and show text
markdown      escape text, and lay out tables, as Markdown
records       frozen records, their canonical JSON and their digests
limits        time and memory that a piece of work may take
rungs         the ladder of knowledge: what an attributor may know
progress      how a long computation reports its progress
streams       named random streams, from which every random draw comes
resources     where the bundled tasks and baselines are
environment   machine and versions of a run
disk          files that outlive a power cut, and disks that refuse to be written
yaml_source   YAML files as data: includes, places (file:line), and all faults at once
yaml_records  YAML files as strict records, with the faults in words
"""
