"""A stand-in for ApartmentIQ that is held to the vendor's documents, for the demo and the tests.

It must never import `archiver`: what it says about a copy is only worth something if it shares no
code with what made the copy.
"""

from local.apartmentiq.callbacks import PAYLOADS, CallbackRecord, CallbackSender
from local.apartmentiq.exports import (
    BytesExport,
    Export,
    FileExport,
    SyntheticExport,
    crc64nvme_of,
    sha256_of,
)
from local.apartmentiq.jobs import Job, Order
from local.apartmentiq.order_form import OrderError
from local.apartmentiq.ordered_exports import export_for
from local.apartmentiq.script import JournalEntry, LinkFault
from local.apartmentiq.server import VendorStandIn

__all__ = [
    "PAYLOADS",
    "BytesExport",
    "CallbackRecord",
    "CallbackSender",
    "Export",
    "FileExport",
    "Job",
    "JournalEntry",
    "LinkFault",
    "Order",
    "OrderError",
    "SyntheticExport",
    "VendorStandIn",
    "crc64nvme_of",
    "export_for",
    "sha256_of",
]
