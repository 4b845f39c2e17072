"""Inputs: reads what users submit, as a stream of records.

source       opens what the user named: stdin, a file of lines, pictures, or a data set
lines        JSON Lines
pictures     folders and the pictures in them
datasets     data sets of other tools: which module reads which
coco, json_file, label_studio, csv_file, parquet, webdataset, imagefolder, yolo  read one each
fields, tables  what they share
reading      what an input was taken for, and what of it was left out
boxes        which fields hold a record's boxes, under whatever name

locate       where a record's picture lies;  originals  fetches it in the stages
places       by which rules a path is looked for
validate     every mistake of a record;  totals  of an input: counts, groups, whether it is hopeless
examples     photographs with boxes that come with RegionCap
"""
