"""What comes in from other tools and goes out to them: readings, neighbors, matrices, tables.

In: the neighbor sets that the paper's authors published (`read_published_neighbors`), activations from
anywhere (`read_foreign_activations`), neighbor bundles (`read_bundle`), each a reading that
`keep_reading` stores; and matrices (`read_published_matrices`, `read_similarity_table`), which
`imported_results` makes results. Out: `write_bundles`, and results as `write_netcdf`, `write_csv` and
`write_parquet`.
"""

from isodepth.interchange.bundles import read_bundle, write_bundles
from isodepth.interchange.foreign_activations import read_foreign_activations
from isodepth.interchange.imported import (
    ImportedReading,
    catalogue_model,
    imported_neighbors,
    imported_readings,
    imported_texts,
)
from isodepth.interchange.keeping import STANDINGS, Arrival, ForeignReading, keep_reading
from isodepth.interchange.layer_files import layer_file
from isodepth.interchange.matrices import FoundMatrices, imported_results
from isodepth.interchange.netcdf import results_dataset, write_netcdf
from isodepth.interchange.published_files import PublishedFile, published_files, published_name
from isodepth.interchange.published_matrices import read_published_matrices
from isodepth.interchange.published_neighbors import read_published_neighbors
from isodepth.interchange.sharing import shared_texts_name
from isodepth.interchange.similarity_tables import read_similarity_table
from isodepth.interchange.tables import write_csv, write_parquet

__all__ = [
    "STANDINGS",
    "Arrival",
    "ForeignReading",
    "FoundMatrices",
    "ImportedReading",
    "PublishedFile",
    "catalogue_model",
    "imported_neighbors",
    "imported_readings",
    "imported_results",
    "imported_texts",
    "keep_reading",
    "layer_file",
    "published_files",
    "published_name",
    "read_bundle",
    "read_foreign_activations",
    "read_published_matrices",
    "read_published_neighbors",
    "read_similarity_table",
    "results_dataset",
    "shared_texts_name",
    "write_bundles",
    "write_csv",
    "write_netcdf",
    "write_parquet",
]
