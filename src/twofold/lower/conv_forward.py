"""The plan of a convolution. Floor 6.

y[n, o, i, j] is one chain of fma from +0 over (c, kh, kw), ascending; padding takes part as +0.
Then the bias in one addition, then relu. No size, batch or thread count changes the chain.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial

from twofold.lower.conv_depthwise import add_depthwise_forward, is_depthwise
from twofold.lower.conv_lanes import takes_lanes
from twofold.lower.conv_lanewise import add_lanewise_forward
from twofold.lower.conv_pack import Planes, add_pad
from twofold.lower.conv_product import Lanes, Product, add_products, fitting
from twofold.lower.conv_steps import Steps
from twofold.lower.conv_tables import (
    Geometry,
    Panels,
    Table,
    arange,
    grid,
    make_panels,
    unit_images,
)
from twofold.lower.conv_then import Then, add_then_planes
from twofold.lower.conv_tile import Format
from twofold.lower.schedule import In, Out, Pointer, Word

# What follows, for kernels of a tile.
Follow = Callable[[Format], Then | None]


@lru_cache(512)
def pixel_offsets(g: Geometry, images: int, channels: int) -> Table:
    """Where the window of each pixel begins in padded planes, for some images."""
    return grid(
        (images, channels * g.padded_plane),
        (g.rows.out, g.rows.stride * g.columns.padded),
        (g.columns.out, g.columns.stride),
    )


@lru_cache(512)
def tap_offsets(g: Geometry, channels: int) -> Table:
    """The offset of each (c, kh, kw) from the beginning of a window."""
    return grid(
        (channels, g.padded_plane),
        (g.rows.kernel, g.rows.dilation * g.columns.padded),
        (g.columns.kernel, g.columns.dilation),
    )


@lru_cache(512)
def _results(g: Geometry, images: int) -> Table:
    """Where the result of each pixel goes."""
    return grid((images, g.filters * g.pixels), (g.pixels, 1))


@lru_cache(512)
def _panels(g: Geometry, images: int, lanes: int) -> Panels:
    source = pixel_offsets(g, images, g.channels)
    return make_panels(source, _results(g, images), g.columns.stride, 1, lanes)


def padded_input(steps: Steps, fmt: Format, g: Geometry, source: Pointer) -> Pointer:
    """The input with its border, in scratch memory; the input itself if it needs none."""
    if not g.borders:
        return source
    return add_pad(steps, fmt, source, g.batch * g.channels, bordered(g))


def bordered(g: Geometry) -> Planes:
    """The planes of the input."""
    return Planes(*[(axis.size, axis.padding, axis.padded) for axis in (g.rows, g.columns)])


def add_forward(
    steps: Steps, fmt: Format, g: Geometry, bias: Word | None, finish: int, follow: Follow
) -> None:
    """Out(0) = the convolution of In(0) with In(1), and what follows."""
    if takes_lanes(g, fmt):
        add_lanewise_forward(steps, fmt, g, 0 if bias is None else bias, finish, follow(fmt))
        return
    if is_depthwise(g):
        add_depthwise_forward(steps, fmt, g, 0 if bias is None else bias, finish)
        then = follow(fmt)
        if then is not None:
            add_then_planes(steps, then, g)
        return
    make = partial(_product, g, bias=0 if bias is None else bias, finish=finish)
    fmt, product = fitting(make, fmt, steps.frozen)
    add_products(steps, fmt, [replace(product, then=follow(fmt))])


def _product(g: Geometry, fmt: Format, bias: Word, finish: int) -> Product:
    images = unit_images(g.batch, g.pixels, fmt.columns)
    depth = g.group_channels * g.taps
    return Product(
        rows=g.group_filters,
        depth=depth,
        units=g.batch // images,
        groups=g.groups,
        weights=In(1),
        weight_rows=grid((g.group_filters, depth)),
        weight_steps=arange(depth),
        weight_group=g.group_filters * depth,
        bias=bias,
        finish=finish,
        source=In(0),
        planes=bordered(g),
        unit_planes=images * g.channels,
        source_pixels=pixel_offsets(g, images, g.channels),
        source_steps=tap_offsets(g, g.group_channels),
        source_unit=images * g.channels * g.padded_plane,
        source_group=g.group_channels * g.padded_plane,
        out=Out(0),
        out_pixels=_results(g, images),
        out_unit=images * g.filters * g.pixels,
        out_group=g.group_filters * g.pixels,
        out_row=g.pixels,
        out_step=1,
        panels=partial(_panels, g, images, fmt.columns),
        lanes=Lanes(1, depth, g.group_filters * depth, 0),
        image=g.pixels,
        image_step=g.filters * g.pixels,
    )
