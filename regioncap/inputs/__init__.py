"""Inputs: what users bring, as a stream of records.

source       opens what the user named: stdin, a file of lines, pictures, or a data set
lines        JSON Lines
pictures     pictures without boxes, one or a folder of them
datasets     data sets of other tools: which module reads which
coco, parquet, webdataset, imagefolder  read one each;  fields  is what they share

locate       where a record's picture lies;  originals  fetches it in the stages
validate     every mistake of an input, before it is submitted
examples     photographs with boxes that come with RegionCap
"""
