"""Text of the house file by page. The enclosures contain answers that the typed pages only mention."""

from __future__ import annotations

CHARGES_PAGE = 8
CHARGES = [
    ["Monthly charge by flat", "Rooms", "Crowns"],
    ["Ground floor, left", "3", "4,150"],
    ["Ground floor, right", "2", "3,320"],
    ["First floor", "4", "4,780"],
    ["Attic with balcony", "2", "3,640"],
    ["Cellar workshop", "1", "1,250"],
]

SCANS: dict[int, list[str]] = {
    4: [
        "# Tollmann Heating",
        "Boiler Street 12, Lerum",
        "Invoice 2217, 14 March",
        "To Millrace House cooperative",
        "New circulation pump for the boiler|1,280.00",
        "Labour, six hours|540.00",
        "Travel from Lerum|95.00",
        "Total in crowns|1,915.00",
        "Please pay the total of this invoice within thirty days. The pump has a guarantee of five years.",
        "With thanks, Karin Tollmann",
    ],
    6: [
        "# Lift inspection certificate",
        "County office for machines, Orrefjord",
        "Lift: Millrace House, built 1987, four stops",
        "Load: eight persons or 630 kilograms",
        "Brake|passed",
        "Ropes|passed",
        "Door contacts|passed",
        "Emergency telephone|repaired",
        "The lift may be used. The next inspection is due on 30 September.",
        "Inspector: Henrik Voss",
    ],
    10: [
        "# Fjord Mutual Insurance",
        "Claim 88-417, 2 November",
        "Dear members of Millrace House,",
        "thank you for your report of the water damage in the cellar. Our expert visited the cellar on 21 "
        "October and found that a pipe had burst behind the laundry.",
        "We accept the claim. For the water damage we pay 7,400 crowns, less your own share of 500 crowns.",
        "The money will be in your account within ten days.",
        "Yours sincerely, Ingrid Moe",
    ],
}

PAGES: dict[int, tuple[str, list[str]]] = {
    2: (
        "About the house",
        [
            "Millrace House was built in 1931 for the workers of the paper mill and bought by its tenants in "
            "1984. It stands on oak piles beside the weir, and in spring the water can be heard in every "
            "room.",
            "# Who lives here",
            "Nineteen people and four cats live in the house. New members are elected at a meeting and plant "
            "a fruit tree in their first autumn.",
            "# The caretaker",
            "Our caretaker, Tomas Lind, has his room beside the front door and is there on weekdays from "
            "seven to eleven. In the evening please ring only if something burns, floods or screams.",
            "# Keys",
            "Every member has a key to the front door and one to the bicycle shed. A lost key costs forty "
            "crowns and a cake.",
        ],
    ),
    3: (
        "The boiler and its pump",
        [
            "The boiler stands in the cellar and heats the whole house. A pump moves the water from the "
            "boiler to the radiators and back. When the pump stops, the boiler switches itself off.",
            "# If the boiler stops",
            "Look at the pump first. If the pump is silent, press the green button beside the boiler once. "
            "If the boiler does not start again, call the caretaker, and never open the boiler yourself.",
            "# Air in the pump",
            "A gurgling pump has air in it. The caretaker lets the air out of the pump every autumn, before "
            "the boiler is lit.",
            "# Repairs",
            "Boiler and pump are repaired by a heating firm. Keep the invoice for each repair of the boiler "
            "or the pump in this file.",
        ],
    ),
    5: (
        "Paying invoices",
        [
            "Every invoice goes to the treasurer. An invoice is paid when two members of the board have "
            "signed it. What was the invoice for? Write it on the back.",
            "# Large invoices",
            "If the total of an invoice is more than 5,000 crowns, the meeting decides. The total counts, "
            "not the single lines of the invoice.",
            "# Small invoices",
            "An invoice with a total of less than 200 crowns may be paid from the tin in the office.",
            "# Lost invoices",
            "If an invoice was lost, ask the firm for a second invoice before you pay. Last year one invoice "
            "was paid twice.",
        ],
    ),
    7: (
        "Using the lift",
        [
            "The lift is for everybody. Children under seven use the lift with an adult. Do not hold the "
            "door of the lift for a chat.",
            "# Inspection of the lift",
            "The lift is inspected every second year. On the day of the inspection the lift stands still. "
            "When the inspection is over, the caretaker puts the certificate in this file.",
            "# Moving house",
            "When you move furniture, hang the blankets in the lift. When the lift is too small, use the "
            "stairs, and tell the neighbours when it will be noisy.",
            "# Stuck in the lift",
            "Press the yellow bell. When nobody answers, the telephone in the lift rings the fire brigade.",
        ],
    ),
    8: (
        "What the flats pay",
        [
            "Each flat pays its share of heating, water, repairs and the loan. The meeting decides the "
            "amounts in December, and the treasurer collects them on the first day of each month.",
        ],
    ),
    9: (
        "Damage and insurance",
        [
            "The house has an insurance against fire, storm and water. The insurance does not pay for damage "
            "to your own furniture.",
            "# Reporting damage",
            "Report damage to the board on the same day. How much damage there is, the expert of the "
            "insurance decides. Take photographs of the damage before you clean up.",
            "# Water",
            "Close the main tap in the cellar when there is water where no water should be. Water damage in "
            "the cellar is the most common damage in this house.",
            "# What the insurance does not pay",
            "The insurance does not pay for water that comes through an open window, and it does not pay for "
            "damage that was not reported.",
        ],
    ),
    11: (
        "Garden and attic",
        [
            "The garden belongs to all. Cut what you like to eat, water what you like to see.",
            "# The attic and its balcony",
            "The attic flat shares its balcony with the chimney sweep, who comes in May. In the attic there "
            "is also a drying room. The attic flat has no charge for the lift, since the lift ends below it.",
            "# Rubbish",
            "Paper goes into the blue bin, glass into the green one. What is left goes into the grey bin, "
            "which is emptied every month.",
            "# Apples",
            "In September the apples are pressed in the yard. Every flat gets two bottles for each person.",
        ],
    ),
    12: (
        "Telephone numbers",
        [
            "Caretaker, Tomas Lind: 40 118",
            "Treasurer, Asta Berg: 40 121",
            "Chair of the board, Per Nygaard: 40 127",
            "Tollmann Heating: 61 300",
            "Fjord Mutual Insurance: 80 500",
            "County office for machines: 80 912",
            "Fire brigade: 110",
        ],
    ),
}
