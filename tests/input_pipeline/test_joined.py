"""Joined splits keep every example where it was; subsets keep the classes' shares, and are nested."""

import numpy as np
import pytest

import input_pipeline
from input_pipeline.joined import Joined, stratified_subset


def test_every_example_is_found_at_its_place():
    parts = [input_pipeline.load('mnist_5k', 'train[:30]'), input_pipeline.load('mnist_5k', 'test[:20]')]
    whole = Joined(parts)
    assert len(whole) == 50
    assert [place.tolist() for place in whole.places] == [list(range(30)), list(range(30, 50))]
    for part, places in zip(parts, whole.places, strict=True):
        for i, place in enumerate(places):
            assert whole.example_id(place) == part.example_id(i)
            assert (whole.read(int(place))['image'] == part.read(i)['image']).all()
        assert whole.labels[places].tolist() == part.labels.tolist()
        assert whole.select(places).fingerprint() != part.fingerprint()
    assert whole.fingerprint() == Joined(parts).fingerprint() != Joined(parts[::-1]).fingerprint()


def test_splits_of_different_classes_are_refused(tmp_path):
    for name, classes in (('a', 2), ('b', 3)):
        np.savez(tmp_path / f'{name}.npz', x=np.zeros((4, 8, 8, 3), np.uint8), y=np.arange(4) % classes)
    sources = [input_pipeline.load(f'folder:{tmp_path}/{name}.npz', 'all') for name in 'ab']
    with pytest.raises(ValueError, match='have other classes'):
        Joined(sources)


def test_a_subset_has_each_classs_share_and_grows_by_adding():
    labels = np.repeat(np.arange(4), (400, 200, 100, 100))
    before = np.zeros(0, int)
    for count in (4, 8, 80, 400, 800):
        chosen = stratified_subset(labels, count, seed=1)
        assert len(set(chosen.tolist())) == count
        assert set(before) <= set(chosen)
        expected = count * np.array([4, 2, 1, 1]) / 8
        assert np.abs(np.bincount(labels[chosen], minlength=4) - expected).max() <= 1
        before = chosen
    assert stratified_subset(labels, 80, seed=2).tolist() != stratified_subset(labels, 80, seed=1).tolist()
    assert stratified_subset(labels, 80, seed=1).tolist() == stratified_subset(labels, 80, seed=1).tolist()


@pytest.mark.parametrize('count', [3, 801])
def test_too_few_or_too_many_are_refused(count):
    with pytest.raises(ValueError, match='take 4 or more'):
        stratified_subset(np.repeat(np.arange(4), 200), count, seed=0)
