"""Forms of annotations and data sets that are read, a module each.

coco, labelme, voc, cvat, yolo, via  what tools for annotation write
label_studio, createml, kitti, open_images, visual_genome  and more of them
json_file, table  lists and tables of records
imagefolder, saved, parquet, webdataset  data sets with their pictures
parquet_pages  how large rows become

base         what a form is;  picture_files  which picture an annotation file means
per_picture  forms with a file a picture
document, xml_file, yaml_file, tables, text_file  JSON, XML, YAML, CSV and texts, bounded
hf_features  names of classes in the schemas of Hugging Face's files
outlines     boxes around COCO's segmentations

To read another: a module with a `Form`, and its line in `FORMS`.
"""

from __future__ import annotations

from regioncap.inputs.forms import (
    coco,
    createml,
    cvat,
    json_file,
    kitti,
    label_studio,
    labelme,
    open_images,
    parquet,
    table,
    via,
    visual_genome,
    voc,
    webdataset,
)
from regioncap.inputs.forms.base import Form, Sample

#: The forms that a file by itself may have, each asked in turn: the general ones come last.
FORMS: tuple[Form, ...] = (
    parquet.FORM,
    webdataset.FORM,
    voc.FORM,
    cvat.FORM,
    coco.FORM,
    labelme.FORM,
    via.FORM,
    label_studio.FORM,
    createml.FORM,
    visual_genome.FORM,
    json_file.FORM,
    kitti.FORM,
    open_images.FORM,
    table.FORM,
)


def form_of(sample: Sample) -> Form | None:
    """The form of a file, by what it holds; None if it is of none.

    Raises:
        UsageError: It is of a kind that is known and not read, or is damaged (`bad-dataset`).
    """
    return next((form for form in FORMS if form.knows(sample)), None)
