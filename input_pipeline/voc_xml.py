"""The XML files in which PASCAL VOC, and much after it, keeps the objects of an image."""

import pathlib
import xml.etree.ElementTree as ET
import xml.parsers.expat

import PIL.Image

from input_pipeline.annotated import Objects


def read(
    path: pathlib.Path, image: pathlib.Path, *, first: int, classes: dict[str, int] | None = None, label: int = 0
) -> Objects:
    """The objects of one file.

    Args:
      image: the file whose size counts where the XML states none.
      first: the number of the first pixel: with 1, xmin..xmax covers xmin - 1 to xmax.
      classes: each name's class; None where every object has the class `label`.

    Raises:
      ValueError: a file or an object that is not as it should be, a class that is not one of `classes`.
    """
    root = tree(path)
    rows, labels, difficult = [], [], []
    for one in root.iter('object'):
        box = one.find('bndbox')
        if box is None:
            raise ValueError(f'{path}: an object without a bndbox')
        x0, y0, x1, y1 = (_number(path, box, side) for side in ('xmin', 'ymin', 'xmax', 'ymax'))
        rows.append((x0 - first, y0 - first, x1, y1))
        difficult.append((one.findtext('difficult') or '0').strip() == '1')
        name = text_of(path, one, 'name')
        if classes is not None and name not in classes:
            raise ValueError(f'{path}: class {name!r} is not one of those in names.txt')
        labels.append(label if classes is None else classes[name])
    return Objects.of(rows, labels, difficult=difficult, size=_size(path, root, image) if rows else (0, 0))


def _size(path: pathlib.Path, root: ET.Element, image: pathlib.Path) -> tuple[int, int]:
    """Height and width that the XML states; where it does not, those of the image as stored."""
    size = root.find('size')
    if size is not None:
        height, width = int(_number(path, size, 'height')), int(_number(path, size, 'width'))
        if height > 0 and width > 0:
            return height, width
    try:
        with PIL.Image.open(image) as opened_image:
            return opened_image.height, opened_image.width
    except Exception as error:
        raise ValueError(f'{path} states no size, and {image} cannot be read') from error


def text_of(path: pathlib.Path, element: ET.Element, tag: str) -> str:
    text = (element.findtext(tag) or '').strip()
    if not text:
        raise ValueError(f'{path}: an {element.tag} without a {tag}')
    return text


def _number(path: pathlib.Path, element: ET.Element, tag: str) -> float:
    text = text_of(path, element, tag)
    try:
        return float(text)
    except ValueError:
        raise ValueError(f'{path}: {tag} {text[:40]!r} is not a number') from None


def tree(path: pathlib.Path) -> ET.Element:
    """The root of an XML file. Document types, and with them entities, are refused: nothing expands or is fetched.

    Raises:
      ValueError: missing, or not such a file.
    """
    builder, parser = ET.TreeBuilder(), xml.parsers.expat.ParserCreate()

    def refuse(*_):
        raise ValueError('it declares a document type')

    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(path.read_bytes(), True)
        return builder.close()
    except FileNotFoundError:
        raise ValueError(f'{path} is missing: each image needs one') from None
    except (xml.parsers.expat.ExpatError, ValueError, OSError) as error:
        raise ValueError(f'{path} is not an annotation: {error}') from error
