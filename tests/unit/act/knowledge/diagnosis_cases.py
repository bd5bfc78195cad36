"""Answers that were wrong for a reason that is known: 24 questions at a bicycle shop, each spoilt in every way."""

from __future__ import annotations

from typing import NamedTuple

from trimtab.act.knowledge.diagnose import Cause
from trimtab.records import Chunk

__all__ = ["Spoilt", "spoilt"]


class Spoilt(NamedTuple):
    """One wrong answer with the truth about it."""

    cause: Cause
    output: str
    corrected: str
    context: list[Chunk]
    deeper: list[Chunk]


# (what the right document says, what an outdated one says, the right answer as a person puts it, the wrong answer)
_FACTS = [
    ("Returns are accepted within 14 days of delivery.", "Returns are accepted within 30 days of delivery.",
     "You can return it within 14 days of delivery.", "You have 30 days from delivery to return it."),
    ("Punctures are repaired for 12.50 euros.", "Punctures are repaired for 9.90 euros.",
     "A puncture repair is 12.50 euros.", "A puncture repair is 9.90 euros."),
    ("The workshop is open on Saturday from 10 to 16.", "The workshop is closed on Saturday.",
     "The workshop opens on Saturday from 10 to 16.", "The workshop is closed on Saturday."),
    ("Theft insurance covers two years.", "Theft insurance covers the first year only.",
     "Insurance against theft covers two years.", "Theft insurance covers the first year only."),
    ("Pay by invoice, card or PayPal.", "Pay by card only.",
     "You can pay by invoice, card or PayPal.", "Payment is by card only."),
    ("Shipping to Switzerland costs 25 euros.", "We do not ship to Switzerland.",
     "Shipping to Switzerland costs 25 euros.", "We do not ship to Switzerland."),
    ("The battery lasts 120 km.", "The battery lasts 80 km.",
     "The battery lasts 120 km on one charge.", "The battery lasts about 80 km."),
    ("Leasing is offered through JobRad.", "Leasing is offered through Lease-a-Bike.",
     "Leasing goes through JobRad.", "Leasing goes through Lease-a-Bike."),
    ("The first inspection is free after 300 km.", "The first inspection costs 49 euros.",
     "Your first inspection is free after 300 km.", "The first inspection costs 49 euros."),
    ("Test rides must be booked online.", "Test rides are possible without an appointment.",
     "Test rides have to be booked online.", "Test rides are possible without an appointment."),
    ("Gift cards expire after 3 years.", "Gift cards never expire.",
     "Gift cards expire after 3 years.", "Gift cards never expire."),
    ("The frame carries 140 kg.", "The frame carries 120 kg.",
     "The frame carries at most 140 kg.", "The frame carries at most 120 kg."),
    ("Spare keys are ordered with the key number.", "Spare keys cannot be ordered.",
     "Order a spare key with the key number.", "Spare keys cannot be ordered."),
    ("Student discount is 10 percent.", "Student discount is 5 percent.",
     "Students get a discount of 10 percent.", "Students get a discount of 5 percent."),
    ("Delivery takes 5 working days.", "Delivery takes 2 weeks.",
     "Delivery takes 5 working days.", "Delivery takes 2 weeks."),
    ("The app pairs by Bluetooth with the serial number.", "The app pairs by scanning the QR code.",
     "Pair the app by Bluetooth using the serial number.", "Pair the app by scanning the QR code."),
    ("Old bikes are taken back for 50 euros.", "Old bikes are not taken back.",
     "We take back old bikes for 50 euros.", "Old bikes are not taken back."),
    ("Helmets come in sizes S to XL.", "Helmets come in one size.",
     "Helmets come in the sizes S to XL.", "Helmets come in one size."),
    ("Firmware 4.2 fixes the display.", "The display needs replacing.",
     "Firmware 4.2 fixes the display.", "The display needs replacing."),
    ("Children's seats fit from model Alto on.", "Children's seats do not fit our bikes.",
     "Children's seats fit from the model Alto on.", "Children's seats do not fit our bikes."),
    ("The hotline is 0800 5551.", "The hotline is 0900 7772.",
     "Call the hotline on 0800 5551.", "Call the hotline on 0900 7772."),
    ("Orders can be cancelled before dispatch.", "Orders cannot be cancelled.",
     "You may cancel an order before dispatch.", "An order cannot be changed."),
    ("Winter tyres are stored for 20 euros a season.", "Winter tyres are not stored.",
     "Winter tyres are stored for 20 euros per season.", "Winter tyres are not stored."),
    ("Colour changes need a new frame.", "Colour changes are done by our painter.",
     "Changing the colour needs a new frame.", "Colour changes are done by our painter."),
]  # fmt: skip
_OTHER = "Brisk builds bicycles in Tübingen. The showroom has parking for customers."


def spoilt() -> list[Spoilt]:
    """Return every fact spoilt in every way."""
    cases: list[Spoilt] = []
    for at, (right, outdated, corrected, output) in enumerate(_FACTS):
        noise = [Chunk(id="about", text=_OTHER), Chunk(id="near", text=_FACTS[(at + 7) % len(_FACTS)][0])]
        good, bad = Chunk(id=f"right-{at}", text=right), Chunk(id=f"old-{at}", text=outdated)
        cases += [
            Spoilt("retrieval_miss", output, corrected, noise, noise),
            Spoilt("ranking_miss", output, corrected, noise, [*noise, good]),
            Spoilt("stale", output, corrected, [*noise, bad], [*noise, bad]),
            Spoilt("stale", output, corrected, [good, bad], [good, bad]),  # two documents that contradict each other
            Spoilt("generation_miss", output, corrected, [*noise, good], [*noise, good]),
        ]
    return cases
