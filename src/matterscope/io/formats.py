"""The literal table of formats: a part that is not in it does not exist.

In: nothing. Out: `FORMATS`, from which reading, writing, the documentation and the tests are driven.
A reader is ``read(path, **options) -> list[Dataset]``; a sniffer ``sniff(path, head) -> bool`` looks
at the first 4096 bytes and the name; a writer is ``write(measurement, path) -> None``.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Format:
    """One format: where its reader, sniffer and writer stand (``module:function`` under `io`)."""

    name: str
    module: str
    extensions: tuple[str, ...]
    kinds: tuple[str, ...]
    summary: str
    writes: bool = False

    @property
    def reader(self) -> str:
        """Return ``module:function`` of the reader."""
        return f"matterscope.io.{self.module}:read"


FORMATS: tuple[Format, ...] = (
    Format("spe", "spe", (".spe",), ("emission",), "Princeton Instruments SPE 2 and 3 spectra"),
    Format("qudi", "qudi", (".dat",), ("map", "emission"), "qudi confocal maps and spectra"),
    # one entry a line, in the order in which they are asked; strict magic numbers first.
    # ``module`` has the functions sniff(path, head), read(path, **options) and, if writes, write(m, path)
    Format(
        "hdf5-measurement",
        "measurement",
        (".h5", ".hdf5"),
        ("*",),
        "matterscope's own HDF5, one group per measurement",
        writes=True,
    ),
    Format(
        "nxxas",
        "nxxas",
        (".nxs", ".nx5", ".h5"),
        ("spectrum",),
        "NeXus X-ray absorption (NXxas), one entry per spectrum",
        writes=True,
    ),
    Format(
        "digitalmicrograph",
        "digitalmicrograph",
        (".dm3", ".dm4"),
        ("spectrum", "image", "movie"),
        "DigitalMicrograph: every object of the file, memory-mapped",
    ),
    Format(
        "emsa",
        "emsa",
        (".msa", ".emsa", ".ems"),
        ("spectrum",),
        "EMSA/MAS spectral file, Y and XY",
        writes=True,
    ),
    Format(
        "theory-spectrum",
        "theory",
        (".dat", ".txt"),
        ("spectrum",),
        "spectra written by FEFF, FDMNES, VASP (core hole), OCEAN and XSpectra",
    ),
    Format(
        "picoquant",
        "picoquant",
        (".ptu", ".ht2", ".ht3", ".pt2", ".pt3", ".t3r"),
        ("photons",),
        "PicoQuant time tags: PTU (all T2 and T3 record types), HT2/HT3, PT2/PT3, T3R",
        writes=True,
    ),
    Format(
        "picoquant-histogram",
        "picoquant_curves",
        (".phu", ".phd", ".hhd", ".thd"),
        ("histogram",),
        "PicoQuant histograms: PHU, PHD, HHD, THD",
    ),
    Format("qutag", "qutag", (".qutag", ".bin"), ("photons",), "quTAG binary time tags"),
    Format(
        "penn-mat",
        "penn",
        (".mat",),
        ("histogram", "trace"),
        "MATLAB files of the Penn photon-correlation scripts: coincidences by state, rate traces",
    ),
    Format(
        "photon-table",
        "photons",
        (".npz", ".csv", ".h5", ".hdf5"),
        ("photons",),
        "photon tables: NPZ (ours, Swabian arrays), CSV, Photon-HDF5",
        writes=True,
    ),
    Format(
        "trace-text",
        "text_traces",
        (".csv", ".tsv", ".txt", ".dat", ".asc"),
        ("trace",),
        "traces of brightness as text: times in seconds, counts or rates of each detector",
    ),
    Format(
        "histogram-text",
        "histograms",
        (".dat", ".csv", ".txt", ".tsv"),
        ("histogram",),
        "coincidence or decay histogram as text: qudi autocorrelation, columns with a time unit",
    ),
    Format(
        "kek-9809",
        "photon_factory",
        (".dat", ".txt"),
        ("spectrum",),
        "9809 text of Photon Factory and SPring-8: angles, detectors with modes and dark counts",
    ),
    Format(
        "beamline-scans",
        "beamline_scans",
        (".spec", ".dat", ".fio", ".txt"),
        ("spectrum", "curve"),
        "SPEC files with their scans, and DESY's FIO",
    ),
    Format(
        "cycling",
        "cycling",
        (".csv",),
        ("curve",),
        "battery cycling tables: voltage, capacity and lithium content of every half cycle",
    ),
    Format(
        "map-text",
        "text_maps",
        (".csv", ".tsv", ".txt", ".dat", ".asc"),
        ("map",),
        "raster scans as text: a matrix of counts, or a list of x, y, counts",
    ),
    # these two take columns and arrays of any name: what is more particular is asked before them
    Format(
        "emission-columns",
        "emission",
        (".csv", ".txt", ".dat", ".asc", ".tsv", ".npz"),
        ("emission",),
        "photoluminescence spectra as columns of numbers, or NPZ with an axis and counts",
    ),
    Format(
        "spectrum-array",
        "spectrum_arrays",
        (".npz", ".h5", ".hdf5", ".hf5", ".hspy"),
        ("spectrum",),
        "spectra and spectrum images as arrays beside an array of energies: NPZ, HDF5, HyperSpy",
    ),
    Format(
        "detector-frames",
        "patterns",
        (".tif", ".tiff", ".h5", ".hdf5", ".nxs", ".npy", ".npz"),
        ("patterns",),
        "Detector frames: TIFF, HDF5/NeXus, NPY and NPZ stacks",
    ),
    Format(
        "cbf",
        "cbf",
        (".cbf",),
        ("patterns",),
        "CBF (imgCIF, byte offset) as Pilatus and Eiger detectors write it",
    ),
    Format(
        "edf",
        "edf",
        (".edf",),
        ("patterns",),
        "EDF as the ESRF's detectors write it, one frame or many",
    ),
    Format(
        "map",
        "maps",
        (".json", ".mat", ".tif", ".tiff", ".npy"),
        ("map",),
        "raster scans: NVision JSON, confocal .mat, TIFF, NPY",
    ),
    Format("athena", "athena", (".prj",), ("spectrum", "curve"), "Athena and Larch projects"),
    Format(
        "xdi",
        "xdi",
        (".xdi",),
        ("spectrum", "curve"),
        "XDI 1.0, X-ray absorption data interchange",
        writes=True,
    ),
    # the catch-all for text stays last
    Format(
        "columns",
        "columns",
        (".xmu", ".nor", ".csv", ".tsv", ".dat", ".txt", ".json", ".npy"),
        ("spectrum", "curve"),
        "columns of numbers and JSON arrays in any dialect; NPY and NPZ arrays with --energy",
    ),
)


def by_name(name: str) -> Format:
    """Return the format called `name`."""
    return next(f for f in FORMATS if f.name == name)
