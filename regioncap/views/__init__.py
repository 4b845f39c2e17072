"""Views: from boxes and pixels to the marked pictures and prompts that an engine gets; pure.

render       a record's views: finds its regions, plans how they are shown, draws and words them
view         one view: the whole picture with marks, or a crop; how all of a job are made
regions      boxes as users write them, checked and cut to the picture
proposals    boxes for pictures that come without any
boxes        geometry, and the one rounding to whole pixels
rounds       which boxes share a picture, where they are too many for one
marks        the numbered boxes, in several styles;  colour  tells colours apart as people do
crops        a region cut out with what lies around it
prompts      templates and the words made from them;  chat_tokens  makes foreign ones harmless
region_schema  which fields are written of a region beside its caption
pixels       from bytes to pixels and back;  png  what stands beside the pixels of a PNG
sizes        how large the model sees a picture
"""
