"""Any source of text, as documents or as blocks of lines: the one home of reading text.

    names, globs, folders, saved datasets, standard input, pipes
      |  found.py      which files these are; what is piped is copied to one first
    files
      |  parts.py      a file itself or the members of an archive, unpacked, as a stream of bytes
    streams
      |  documents.py  which format it is, and its documents, through
      |                decoding.py, values.py, json_values.py, tables.py,
      |                html_text.py, subtitles.py
    documents: lists of paragraphs
      |  blocks.py     runs of whole documents for records and tokenizers, always cut at the same
      |                places; plain text is handed on as it is (cutting.py)
    blocks

Everything is a generator that holds a bounded part of its input.
"""
