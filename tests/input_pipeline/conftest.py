"""Small archives of the true layout, made from real images, so that tfds's real builders run offline."""

import io
import json
import pathlib
import tarfile
import zipfile

import numpy as np
import PIL.Image
import pytest
import scipy.io


def _tar(path: pathlib.Path, files: dict[str, bytes], mode: str = 'w') -> None:
    with tarfile.open(path, mode) as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


def _zip(path: pathlib.Path, files: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, 'w') as archive:
        for name, data in files.items():
            archive.writestr(name, data)


def _mat(names: list[str]) -> bytes:
    buffer, cells = io.BytesIO(), np.empty((len(names), 1), object)
    for row, name in enumerate(names):
        cells[row, 0] = name
    scipy.io.savemat(buffer, {'file_list': cells})
    return buffer.getvalue()


def _size(photo: pathlib.Path) -> tuple[int, int]:
    with PIL.Image.open(photo) as image:
        return image.size


def stanford_dogs(folder: pathlib.Path, shared: pathlib.Path) -> dict:
    """Ten photographs of two breeds (three for the test split), their annotations, 120 breeds in the list."""
    photos = [p for b in ('n02085936-Maltese_dog', 'n02110185-Siberian_husky')
              for p in sorted((shared / 'stanford_dogs' / 'Images_original' / b).glob('*.jpg'))[:5]]  # fmt: skip
    annotations = shared / 'stanford_dogs' / 'Annotation'
    names = [f'{p.parent.name}/{p.name}' for p in photos]
    breeds = sorted({p.parent.name for p in photos} | {f'n{2085620 + k:08d}-Made_up_{k}' for k in range(118)})
    train = [*names[:7], *(f'{breed}/{breed[:9]}_0.jpg' for breed in breeds)]
    lists = {'file_list.mat': [*train, *names[7:]], 'train_list.mat': train, 'test_list.mat': names[7:]}
    _tar(folder / 'images.tar', {f'Images/{n}': p.read_bytes() for n, p in zip(names, photos, strict=True)})
    texts = {f'Annotation/{n[:-4]}': (annotations / n[:-4]).read_bytes() for n in names}
    _tar(folder / 'annotation.tar', texts)
    _tar(folder / 'lists.tar', {name: _mat(files) for name, files in lists.items()})
    return {'photos': photos, 'breeds': breeds, 'annotations': texts}


def imagenette(folder: pathlib.Path, shared: pathlib.Path) -> dict:
    """Two images a class for training and one for validation of imagenette/160px-v2."""
    root, files = shared / 'imagenette_224', {}
    for split, count in (('train', 2), ('val', 1)):
        for label in sorted((root / split).iterdir()):
            for photo in sorted(label.iterdir())[:count]:
                files[f'imagenette2-160/{split}/{label.name}/{photo.name}'] = photo.read_bytes()
    _tar(folder / 'imagenette2-160.tgz', files, 'w:gz')
    return {'files': files}


def cifar10(folder: pathlib.Path, shared: pathlib.Path) -> dict:
    """Twelve lossless images: two in each of five batches, two to test."""
    with np.load(shared / 'cifar10_lossless' / 'cifar10_train1000_lossless.npz') as arrays:
        x, y = arrays['x'][:12], arrays['y'][:12]
    rows = np.concatenate([y[:, None], x.transpose(0, 3, 1, 2).reshape(12, -1)], axis=1).astype(np.uint8)
    names = [f'data_batch_{k}.bin' for k in range(1, 6)] + ['test_batch.bin']
    files = {f'cifar-10-batches-bin/{n}': rows[2 * k : 2 * k + 2].tobytes() for k, n in enumerate(names)}
    labels = ['airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse', 'ship', 'truck']
    files['cifar-10-batches-bin/batches.meta.txt'] = '\n'.join(labels).encode()
    _tar(folder / 'cifar-10-binary.tar.gz', files, 'w:gz')
    return {'x': x, 'y': y}


def imagenet2012(folder: pathlib.Path, shared: pathlib.Path) -> dict:
    """Archives inside an archive: three classes of one image; a CMYK file among them is tfds's to convert."""
    photos = sorted((shared / 'imagenet100').glob('*.JPEG'))[:3]
    inner = {}
    for photo in photos:
        label = photo.name.split('_')[0]
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode='w') as tar:
            member = tarfile.TarInfo(f'{label}_1.JPEG')
            member.size = photo.stat().st_size
            tar.addfile(member, io.BytesIO(photo.read_bytes()))
        inner[f'{label}.tar'] = buffer.getvalue()
    _tar(folder / 'ILSVRC2012_img_train.tar', inner)
    name = 'ILSVRC2012_val_00000001.JPEG'
    _tar(folder / 'ILSVRC2012_img_val.tar', {name: photos[0].read_bytes()})
    return {'photos': photos}


def imagenet2012_subset(folder: pathlib.Path, shared: pathlib.Path) -> dict:
    """The same archives and the list of the one per cent, which keeps two of the three."""
    content = imagenet2012(folder, shared)
    kept = [f'{photo.name.split("_")[0]}_1.JPEG' for photo in content['photos'][1:]]
    (folder / '1percent.txt').write_text('\n'.join([*kept, 'n99999999_1.JPEG']))
    return {**content, 'kept': kept}


def cifar100(folder: pathlib.Path, shared: pathlib.Path) -> dict:
    """Two images of random pixels to train and one to test, with a coarse and a fine label each."""
    x = np.random.default_rng(1).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    y = np.uint8([[3, 77], [19, 0], [0, 99]])
    rows = np.concatenate([y, x.transpose(0, 3, 1, 2).reshape(3, -1)], axis=1)
    files = {'train.bin': rows[:2].tobytes(), 'test.bin': rows[2:].tobytes()}
    files |= {f'{kind}_label_names.txt': '\n'.join(f'{kind} {k}' for k in range(count)).encode()
              for kind, count in (('coarse', 20), ('fine', 100))}  # fmt: skip
    packed = {f'cifar-100-binary/{name}': data for name, data in files.items()}
    _tar(folder / 'cifar-100-binary.tar.gz', packed, 'w:gz')
    return {'x': x, 'y': y[:, 1]}


def voc(folder: pathlib.Path, shared: pathlib.Path, year: int = 2007) -> dict:
    """One photograph each for train, val and test, one of the two objects difficult; of 2012's test no annotations."""
    photos = sorted((shared / 'coco128' / 'images' / 'train2017').glob('*.jpg'))[:3]
    trainval, test = {
        2007: ('VOCtrainval_06-Nov-2007.tar', 'VOCtest_06-Nov-2007.tar'),
        2012: ('VOCtrainval_11-May-2012.tar', 'VOC2012test.tar'),
    }[year]
    for archive, parts in ((trainval, ('train', 'val')), (test, ('test',))):
        files, below = {}, f'VOCdevkit/VOC{year}'
        for part in parts:
            photo = photos[('train', 'val', 'test').index(part)]
            width, height = _size(photo)
            text = f"""<annotation><size><width>{width}</width><height>{height}</height></size>
              <object><name>dog</name><pose>Left</pose><truncated>0</truncated><difficult>0</difficult><bndbox>
              <xmin>10</xmin><ymin>20</ymin><xmax>{width // 2}</xmax><ymax>{height // 2}</ymax></bndbox></object>
              <object><name>person</name><pose>Frontal</pose><truncated>1</truncated><difficult>1</difficult><bndbox>
              <xmin>1</xmin><ymin>1</ymin><xmax>{width}</xmax><ymax>{height}</ymax></bndbox></object></annotation>"""
            files[f'{below}/ImageSets/Main/{part}.txt'] = f'{photo.stem}\n'.encode()
            if (year, part) != (2012, 'test'):
                files[f'{below}/Annotations/{photo.stem}.xml'] = text.encode()
            files[f'{below}/JPEGImages/{photo.stem}.jpg'] = photo.read_bytes()
        _tar(folder / archive, files)
    return {'photos': photos}


def voc_2012(folder: pathlib.Path, shared: pathlib.Path) -> dict:
    """The same of VOC 2012."""
    return voc(folder, shared, year=2012)


def oxford_iiit_pet(folder: pathlib.Path, shared: pathlib.Path) -> dict:
    """Two photographs: one for training with a head box, one to test; the first is of tfds's list of odd files."""
    photos = sorted((shared / 'stanford_dogs' / 'Images_original' / 'n02085936-Maltese_dog').glob('*.jpg'))[:2]
    names = ['beagle_116', 'pug_7']
    trimap = io.BytesIO()
    PIL.Image.fromarray(np.tile(np.uint8([[1, 2], [3, 1]]), (4, 4))).save(trimap, 'PNG')
    box = b"""<annotation><size><width>100</width><height>50</height></size><object><bndbox><xmin>10</xmin>
      <ymin>5</ymin><xmax>60</xmax><ymax>45</ymax></bndbox></object></annotation>"""
    _tar(folder / 'images.tar.gz', {f'images/{n}.jpg': p.read_bytes() for n, p in zip(names, photos, strict=True)})
    files = {'annotations/trainval.txt': b'beagle_116 5 2 1\n', 'annotations/test.txt': b'pug_7 26 2 1\n'}
    files |= {f'annotations/trimaps/{n}.png': trimap.getvalue() for n in names}
    files['annotations/xmls/beagle_116.xml'] = box
    _tar(folder / 'annotations.tar.gz', files)
    return {'photos': photos}


def coco(folder: pathlib.Path, shared: pathlib.Path) -> dict:
    """COCO 2017: two photographs to train (one without objects) and one to validate."""
    photos = sorted((shared / 'coco128' / 'images' / 'train2017').glob('*.jpg'))[:3]
    categories = [{'id': k, 'name': f'thing {k}', 'supercategory': 'thing'} for k in range(1, 81)]

    def annotation(chosen, boxed):
        sizes = {p: _size(p) for p in chosen}
        images = [{'id': int(p.stem), 'file_name': p.name, 'width': w, 'height': h} for p, (w, h) in sizes.items()]
        boxes = [{'id': k, 'image_id': int(p.stem), 'category_id': 18, 'bbox': [10.0, 20.0, 30.0, 40.0],
                  'area': 1200, 'iscrowd': 0} for k, p in enumerate(boxed)]  # fmt: skip
        return json.dumps({'images': images, 'annotations': boxes, 'categories': categories}).encode()

    parts = {'train2017': photos[:2], 'val2017': photos[2:], 'test2017': photos[:1]}
    for part, chosen in parts.items():
        _zip(folder / f'{part}.zip', {f'{part}/{p.name}': p.read_bytes() for p in chosen})
    instances = {'annotations/instances_train2017.json': annotation(photos[:2], photos[:1])}
    instances['annotations/instances_val2017.json'] = annotation(photos[2:], photos[2:])
    _zip(folder / 'annotations_trainval2017.zip', instances)
    test_info = {'annotations/image_info_test2017.json': annotation(photos[:1], [])}
    _zip(folder / 'image_info_test2017.zip', test_info)
    return {'photos': photos}


def imagenet_resized(folder: pathlib.Path, shared: pathlib.Path) -> dict:
    """Arrays of 8x8 pixels inside zip files; labels count from one there."""
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    for name, part in (('Imagenet8_train_npz.zip', images[:2]), ('Imagenet8_val_npz.zip', images[2:])):
        buffer = io.BytesIO()
        np.savez(buffer, data=part.transpose(0, 3, 1, 2).reshape(len(part), -1), labels=np.arange(len(part)) + 7)
        _zip(folder / name, {name.replace('_npz.zip', '.npz'): buffer.getvalue()})
    return {'images': images}


MAKERS = {
    'stanford_dogs': stanford_dogs,
    'imagenette/160px-v2': imagenette,
    'cifar10': cifar10,
    'cifar100': cifar100,
    'imagenet2012': imagenet2012,
    'imagenet2012_subset/1pct': imagenet2012_subset,
    'voc/2007': voc,
    'voc/2012': voc_2012,
    'oxford_iiit_pet': oxford_iiit_pet,
    'coco/2017': coco,
    'imagenet_resized/8x8': imagenet_resized,
}


@pytest.fixture
def archives(tmp_path, shared_data, monkeypatch):
    """`archives(name)` makes the archives of a data set; returns their folder and what went in.

    The checksums that tfds knows are replaced by those of the small archives, and nothing else.
    """
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.download import checksums

    def make(name: str):
        folder = tmp_path / 'manual'
        folder.mkdir(exist_ok=True)
        content = MAKERS[name](folder, shared_data)
        cls = tfds.builder_cls(name.partition('/')[0])
        known = dict(cls.url_infos or {})
        for url, found in list(known.items()):
            path = folder / (found.filename or url.rpartition('/')[2])
            if path.exists():
                known[url] = checksums.compute_url_info(path)
        monkeypatch.setattr(cls, 'url_infos', known)
        return folder, content

    return make
