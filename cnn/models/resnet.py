"""ResNet (He et al. 2015, arXiv:1512.03385), its plain twins and its other orders (He et al. 2016, arXiv:1603.05027).

Names follow the paper: `conv1` is the stem, `conv3_2` the second unit of the stage at stride 8, `fc` the classifier.
Inside a unit convolution i is `conv<i>` with its `norm<i>`; a projection is `shortcut_conv` with `shortcut_norm`.
"""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnn.models import initializers, layers

ORDERS = ('original', 'bn_after_add', 'relu_before_add', 'relu_only_preact', 'full_preact')


class Unit(nn.Module):
    """One residual unit: 3x3, 3x3 or (`bottleneck`) 1x1, 3x3, 1x1 to four times `features`, around a shortcut.

    `first` marks the unit right after the stem, whose input is activated already. `zero_init` names what starts at zero
    at the end of the branch: 'norm' (its gamma), 'conv' (its kernel) or ''.
    """

    features: int
    conv: Callable
    conv3x3: Callable
    strided3x3: Callable
    norm: Callable
    strides: int = 1
    dilation: int = 1
    bottleneck: bool = False
    residual: bool = True
    shortcut: str = 'B'
    order: str = 'original'
    stride_on: str = '3x3'
    first: bool = False
    zero_init: str = ''

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        outputs = self.features * (4 if self.bottleneck else 1)
        full = self.order == 'full_preact'
        activated = x
        if self.order.endswith('preact') and not self.first:
            activated = nn.relu(self.norm(name='norm1')(x, train) if full else x)

        y, convolutions = activated, self._convolutions(outputs)
        for i, convolution in enumerate(convolutions, 1):
            last = i == len(convolutions)
            if full and i > 1:
                y = nn.relu(self.norm(name=f'norm{i}')(y, train))
            y = convolution(name=f'conv{i}')(y)
            if not full and not (last and self.order == 'bn_after_add'):
                y = self._norm(i, last)(y, train)
            if not full and (not last or self.order == 'relu_before_add'):
                y = nn.relu(y)

        if self.residual:
            y = y + self._shortcut(x, activated, outputs, train)
        if self.order == 'bn_after_add':
            y = self._norm(len(convolutions), False)(y, train)
        return nn.relu(y) if self.order in ('original', 'bn_after_add') else y

    def _convolutions(self, outputs: int) -> list[Callable]:
        """Factories of the branch's convolutions, in order."""
        dilation = {'dilation': self.dilation} if self.dilation > 1 else {}
        conv3x3 = partial(self.conv3x3, self.features, 3, **dilation)
        strided = partial(self.strided3x3, self.features, 3, strides=self.strides) if self.strides > 1 else conv3x3
        if not self.bottleneck:
            made = [strided, conv3x3]
        else:
            # On the 1x1: the paper and the MSRA release; on the 3x3: torchvision and most since ("v1.5").
            reduce, spatial = (self.strides, conv3x3) if self.stride_on == '1x1' else (1, strided)
            made = [partial(self.conv, self.features, 1, strides=reduce), spatial, partial(self.conv, outputs, 1)]
        if self.zero_init == 'conv':
            made[-1] = partial(made[-1], kernel_init=initializers.zeros)
        return made

    def _norm(self, i: int, last: bool) -> nn.Module:
        # Goyal et al. 2017 (arXiv:1706.02677): a zero last gamma starts every unit as the identity.
        scale = initializers.zeros if last and self.zero_init == 'norm' else initializers.ones
        return self.norm(name=f'norm{i}', scale_init=scale)

    def _shortcut(self, x: jax.Array, activated: jax.Array, outputs: int, train: bool) -> jax.Array:
        if self.shortcut != 'C' and self.strides == 1 and x.shape[-1] == outputs:
            return x
        if self.shortcut == 'A':
            return subsample_and_pad(x, self.strides, outputs)
        # With pre-activation the projection reads the activated input and has no norm of its own, as the authors'
        # release does (KaimingHe/resnet-1k-layers).
        y = self.conv(outputs, 1, strides=self.strides, name='shortcut_conv')(activated)
        return y if self.order == 'full_preact' else self.norm(name='shortcut_norm')(y, train)


def subsample_and_pad(x: jax.Array, stride: int, features: int) -> jax.Array:
    """Shortcut A: every `stride`-th row and column, new channels zero, half of them on either side.

    The paper leaves the side open; half and half is what the public CIFAR weights were trained with
    (akamaster/pytorch_resnet_cifar10).
    """
    x = x[:, ::stride, ::stride]
    new = features - x.shape[-1]
    return jnp.pad(x, ((0, 0), (0, 0), (0, 0), (new // 2, new - new // 2)))


class ResNet(nn.Module):
    """`apply(variables, images [B, H, W, C], train=...) -> (logits float32 [B, num_classes], endpoints)`.

    Endpoints: `stem`, `conv2` ... `conv5` (`conv4` for the small-image stem), `pre_logits` `[B, features]`, `logits`.
    """

    num_classes: int
    stage_sizes: tuple[int, ...]
    unit: Callable
    conv: Callable
    norm: Callable
    width: int
    stem: str
    order: str
    output_stride: int
    stem_bias: bool

    @property
    def endpoint_strides(self) -> dict[str, int]:
        """Pixels of the input between neighbouring cells of each spatial endpoint."""
        stem, stage = (2, 4) if self.stem == 'imagenet' else (1, 1)
        stages = {f'conv{i + 2}': min(stage * 2**i, self.output_stride) for i in range(len(self.stage_sizes))}
        return {'stem': stem} | stages

    @property
    def endpoint_offsets(self) -> dict[str, float]:
        """The pixel of the input over which cell 0 of each spatial endpoint is centred."""
        return dict.fromkeys(self.endpoint_strides, 0.0)

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False) -> tuple[jax.Array, dict[str, jax.Array]]:
        imagenet = self.stem == 'imagenet'
        bias = {'use_bias': True} if self.stem_bias else {}
        kernel, stride = (7, 2) if imagenet else (3, 1)
        x = self.conv(self.width, kernel, strides=stride, padding=kernel // 2, name='conv1', **bias)(images)
        x = nn.relu(self.norm(name='norm1')(x, train))
        endpoints = {'stem': x}
        if imagenet:
            x = layers.max_pool(x, 3, 2, padding=1)

        stride, dilation = (4 if imagenet else 1), 1
        for stage, units in enumerate(self.stage_sizes, 2):
            for i in range(units):
                step = 2 if i == 0 and stage > 2 else 1
                grow = step == 2 and stride >= self.output_stride
                # Dilation for stride as torchvision does it: the first unit keeps the old dilation.
                unit = self.unit(
                    self.width * 2 ** (stage - 2),
                    strides=1 if grow else step,
                    dilation=dilation,
                    first=stage == 2 and i == 0,
                    name=f'conv{stage}_{i + 1}',
                )
                x = unit(x, train)
                stride, dilation = (stride, dilation * 2) if grow else (stride * step, dilation)
            endpoints[f'conv{stage}'] = x

        if self.order == 'full_preact':
            x = self.norm(name='norm_last')(x, train)
        if self.order.endswith('preact'):
            x = nn.relu(x)
        if not self.num_classes:
            return x, endpoints
        endpoints['pre_logits'] = x = layers.global_avg_pool(x)
        endpoints['logits'] = x = layers.Dense(self.num_classes, kernel_init=initializers.torch_uniform, name='fc')(x)
        return x, endpoints


def create(
    num_classes: int,
    *,
    depth: int = 50,
    stem: str = 'imagenet',
    residual: bool = True,
    shortcut: str = '',
    order: str = 'original',
    stride_on: str = '3x3',
    bottleneck: bool | None = None,
    zero_init: bool | str = 'auto',
    width: int = 0,
    conv: str = 'standard',
    norm: str = 'batch',
    norm_axis: str | None = None,
    norm_momentum: float = 0.9,
    output_stride: int = 32,
    stem_bias: bool = False,
    dtype: layers.Dtype = jnp.float32,
) -> ResNet:
    """A ResNet or its plain twin.

    Args:
      depth: for `stem='imagenet'` 18, 34, 50, 101 or 152; for `'cifar'` 6n + 2 (9n + 2 with `bottleneck`).
      residual: False drops every shortcut: the plain net of the degradation experiment.
      shortcut: where shapes change, 'A' zero-pads and 'B' projects; 'C' projects everywhere. '' is B for 'imagenet',
        A for 'cifar', as the paper trained them.
      order: of convolution, norm, ReLU and addition; the five of He et al. 2016, figure 4.
      stride_on: the convolution of a bottleneck that strides: '1x1' (paper) or '3x3' (torchvision).
      bottleneck: by default where the paper has it: ImageNet depths of 50 and more.
      zero_init: True starts each unit as the identity; 'auto' does only where no norm keeps the sum of units bounded
        (Zhang et al. 2019, arXiv:1901.09321). A config has 'auto', 'true' or 'false'.
      width: channels of the first stage; 0 is 64 ('imagenet') or 16 ('cifar').
      conv: kind of the units' 3x3 convolutions, a name of `layers.CONVOLUTIONS`.
      norm: 'batch', 'group' or 'none'; `norm_axis` names the mapped axis of synchronised batch norm.
      output_stride: 16 or 8 replaces the last strides by dilation, for dense prediction.
      stem_bias: a bias in conv1, which the MSRA release of ResNet-50 has.

    Raises:
      ValueError: for sizes that no such network has; it names the nearest right ones.
    """
    _check(stem=stem, shortcut=shortcut or 'B', order=order, stride_on=stride_on)
    imagenet = stem == 'imagenet'
    if bottleneck is None:
        bottleneck = imagenet and depth >= 50
    sizes = _stage_sizes(depth, imagenet, bottleneck)
    zero_init = str(zero_init).lower()
    layers.check_choice('resnet zero_init', zero_init, ('auto', 'true', 'false'))
    if zero_init == 'auto':
        zero_init = norm == 'none' and residual and order in ('original', 'relu_only_preact')
    else:
        zero_init = zero_init == 'true'
    if zero_init and not (residual and order in ('original', 'relu_only_preact')):
        raise ValueError(
            f'resnet zero_init=True would silence order={order!r} with residual={residual}; '
            "use order='original' or 'relu_only_preact', or zero_init=False"
        )
    make_conv = partial(layers.Conv, use_bias=norm == 'none', dtype=dtype)
    make_norm = layers.make_norm(norm, axis_name=norm_axis, momentum=norm_momentum, dtype=dtype)
    unit = partial(
        Unit,
        conv=make_conv,
        conv3x3=layers.make_conv(conv, use_bias=norm == 'none', dtype=dtype),
        # A transposed convolution enlarges where it strides, so the units that reduce keep the standard one.
        strided3x3=layers.make_conv('standard' if conv == 'transposed' else conv, use_bias=norm == 'none', dtype=dtype),
        norm=make_norm,
        bottleneck=bottleneck,
        residual=residual,
        shortcut=shortcut or ('B' if imagenet else 'A'),
        order=order,
        stride_on=stride_on,
        zero_init=('conv' if norm == 'none' else 'norm') if zero_init else '',
    )
    width = width or (64 if imagenet else 16)
    return ResNet(num_classes, sizes, unit, make_conv, make_norm, width, stem, order, output_stride, stem_bias)


def _check(**choices: str) -> None:
    known = {'stem': ('imagenet', 'cifar'), 'shortcut': ('A', 'B', 'C'), 'order': ORDERS, 'stride_on': ('3x3', '1x1')}
    for name, value in choices.items():
        layers.check_choice(f'resnet {name}', value, known[name])


def _stage_sizes(depth: int, imagenet: bool, bottleneck: bool) -> tuple[int, ...]:
    if imagenet:
        return layers.choose_depth('resnet', depth, VARIANTS)
    return (layers.count_units('resnet', depth, 9 if bottleneck else 6, 2),) * 3


# Table 1 of the paper: units in conv2 ... conv5 by depth. Small-image nets have (depth - 2) / 6 units in each of three.
VARIANTS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
