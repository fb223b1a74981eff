"""One table a network: where its modules live in other frameworks' state dicts. The file is named like the network.

A table has
  `STYLES`: the naming schemes it knows, the first being the default;
  `STEM`: the path of our first convolution, or a function of the model that gives it;
  `HEADS`: the paths of the layers that the number of classes sizes;
  `image_size(model)`: a square input that the network takes;
  `place(model, style, path) -> layout.Place`: where the module of that path lives, for example
    `('conv3_1', 'conv1')` -> `layer2.0.conv1`, and how its kernel lies there;
and optionally
  `canonical(key)`: today's spelling of a key that older files spell otherwise;
  `ignorable(model, key)`: True for a key that a file may hold and this variant of the network has no use for.
"""
