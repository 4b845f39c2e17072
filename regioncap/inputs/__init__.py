"""Inputs: reads what users submit, as a stream of records.

source       opens what the user named: stdin, a file of lines, pictures, or a data set
in_store, hub  bring here what lies in a store, or on Hugging Face's hub
lines        JSON Lines;  objects  records of Python's, DataFrames
pictures     folders and the pictures in them
datasets     data sets of other tools: which form a file or folder has
forms        the readers, a module each
fields, json_text  what they share
reading      what an input was taken for, and what of it was left out
boxes        what a record's boxes are
box_fields, sides  which fields hold them, under whatever name

locate       where a record's picture lies;  originals  fetches it in the stages
places       by which rules a path is looked for
validate     every mistake of a record;  totals  of an input: counts, and groups of findings
distinct     which of many pictures come again
report       the same in lines for people;  judgement  whether an input is hopeless
examples     photographs with boxes that come with RegionCap
"""
