"""Text of the annual report by page: title, then paragraphs.

``# `` is a heading, ``- `` a bullet, ``! `` a figure. Only one page is about revenue.
"""

from __future__ import annotations

PAGES: list[tuple[str, list[str]]] = [
    (
        "A letter from the director",
        [
            "Dear neighbours, shareholders and friends,",
            "A ferry is a road that floats. When it is late, the doctor is late, the milk is late and the "
            "school bell rings in an empty room. So I judge our work by one simple question: did the islands "
            "wake up in the morning and find their road where it was the day before?",
            "On 358 days they did. On seven days a storm from the west kept every ship in harbour, and our "
            "crews used the time to scrape paint and sleep. I thank them for both.",
            "We welcomed a new ship, said farewell to an old captain and opened a waiting room with a stove. "
            "None of these would have happened without the patience of the people who stand on the quay in "
            "the rain and still say good morning.",
            "Much of what we do cannot be seen from the deck. This year the engineers replaced forty "
            "kilometres of cable, the cooks baked every roll themselves, and two sailors learned sign "
            "language so that a boy from Hask could ask them where the whales are.",
            "There were failures as well. The ramp at Hask broke in March and stood still for nine weeks. "
            "We should have listened to the harbour master, who had heard it groan since Christmas. We "
            "have since asked every harbour master to tell us what groans.",
            "This report tells what went well, what broke, and what we want to mend next. Please read it "
            "with a pencil, and write to me where you think we are wrong.",
            "Sigrid Aalund, director",
        ],
    ),
    (
        "Routes and timetable",
        [
            "We sail four crossings. The longest leads from Orrefjord to Vindo and passes the lighthouse at "
            "Stone Head; the shortest joins the two small islands in the south.",
            "! routes",
            "# Changes in the timetable",
            "The first morning departure from Skarholm now leaves at 5:50, twenty minutes earlier, so that "
            "commuters reach the train at Orrefjord station. On Sundays we added an evening departure for "
            "students who go back to school.",
            "# On time",
            "Of 100 departures, 94 left within five minutes of the timetable. Fog caused half of the delays, "
            "and a broken ramp at Hask caused most of the others.",
            "# School ferries",
            "Every weekday 310 pupils cross the strait to reach their school. Their departure never leaves "
            "early, and it waits for the bus from Lerum even when the bus is late.",
            "# Post and medicine",
            "Letters, parcels and medicine travel on the first morning departure of each crossing, in a "
            "locked red box beside the bridge.",
        ],
    ),
    (
        "The fleet",
        [
            "Four ships make up the fleet. The eldest, Astrid, still has her first engine; the youngest, "
            "Eldey, has no engine room at all in the old sense, but 4,200 battery cells.",
            "! ships",
            "# Dry dock",
            "Runa spent three weeks in dry dock at the yard in Lerum. The hull was cleaned and painted, both "
            "propellers were balanced, and the bow door received new hinges and rubber seals.",
            "# Spare parts",
            "Bearings, pumps and filters for all ships now lie in one store on Quay 3, where the engineers "
            "can fetch them at any hour. Before, each ship kept its own shelf, and the part that was needed "
            "was always on the other one.",
            "# Charging Eldey",
            "Eldey charges at both ends of the crossing. After a year of service her batteries have kept "
            "97 percent of their capacity, two points better than the builder had promised.",
            "# The next dry dock",
            "Astrid goes to the yard in February. Her bow thruster is to be replaced, and the plates below "
            "the car deck will be measured for rust.",
        ],
    ),
    (
        "Passengers and seasons",
        [
            "Summer fills the decks and winter empties them. The chart shows how many thousand passengers "
            "travelled with us in every second month.",
            "! travellers",
            "# Who travels",
            "Two of three passengers live on the islands and use a yearly card. The others are guests: "
            "hikers in spring, families with children in July, bird watchers in September.",
            "The number of cyclists doubled after a path was built around the south of Vindo. We took out "
            "a row of seats on Tora to make space for seventy bicycles.",
            "# Crowded days",
            "On nineteen Saturdays in July and August some passengers had to wait on the quay for the "
            "following ship. An extra departure at noon, sailed by Astrid, shortened the queue to half an "
            "hour.",
            "# What they told us",
            "- Warm food should be sold on the last evening departure.",
            "- The waiting room at Hask needs a second bench.",
            "- Dogs are welcome on board; wet dogs, some passengers feel, a little less.",
            "- The announcements on the upper deck cannot be heard in the wind.",
        ],
    ),
    (
        "Safety on board",
        [
            "Nobody was seriously injured on our ships or quays. A sailor broke a finger in a winch, and a "
            "cyclist slipped on the ramp at Lerum; both have recovered.",
            "# Drills",
            "Every crew trains once a month for fire, flooding and a person overboard. In May we practised "
            "with the coast guard at night: 140 volunteers left the ship by slide and raft in 17 minutes, "
            "one minute under the limit.",
            "# Life jackets",
            "All 1,900 life jackets were tested in a pool. Sixty-two failed and were replaced, most of them "
            "small ones for children.",
            "# Inspection",
            "The maritime authority inspected Tora and Astrid without notice. It found two expired flares "
            "and a fire door that did not close, and both faults were put right before the next departure.",
            "# Storms",
            "When the wind blows harder than 22 metres a second from the west, the captain decides alone "
            "whether the ship sails. Nobody on shore may ask the captain to think again, and nobody did.",
            "# Medical care",
            "Two members of each crew are trained in first aid, and every ship carries a defibrillator "
            "beside the stairs. It was used twice, and both passengers lived.",
        ],
    ),
    (
        "Revenue in 2023",
        [
            "Revenue in 2023 was 226.6 million crowns, 12.9 percent more than in 2022. Tickets brought the "
            "largest share of the revenue, and restaurants and shops grew fastest after the new menu.",
            "! revenue",
            "# Where the revenue came from",
            "Ticket revenue rose because fares went up by four percent in January 2023 and because more "
            "people travelled in summer. Revenue from cars and lorries followed the building of the wind "
            "farm on Vindo, which needed 3,100 lorries.",
            "# Revenue by quarter",
            "The third quarter of 2023 gave 41 percent of the yearly revenue, the first quarter 15 percent. "
            "The seasons remain the greatest risk to an even revenue.",
            "# What we expect",
            "Without the lorries of the wind farm, revenue from cars and lorries will be lower. We expect "
            "the total revenue to stay near the level of 2023, since ticket sales continue to grow.",
        ],
    ),
    (
        "Costs and fuel",
        [
            "Fuel was again the largest cost after wages. The price of marine diesel fell by eleven percent, "
            "while the electricity for Eldey became slightly dearer.",
            "# Saving fuel",
            "- Slower sailing on the Vindo crossing saves 900 litres of diesel a day.",
            "- Clean hulls save another four percent.",
            "- Heat from the engines now warms the cabins of Tora.",
            "# Repairs and insurance",
            "The broken ramp at Hask cost 2.3 million crowns, of which the insurance paid two thirds. "
            "Insurance for the whole fleet will cost more next year, as few insurers know battery ships.",
            "# Harbour dues",
            "The harbours of Lerum and Hask charge by the length of a ship and the hours at the quay. Dues "
            "rose by a tenth, after nine years without a change.",
            "# Wages",
            "Wages rose by 3.5 percent in April under the agreement with the seamen's union.",
            "# Buying together",
            "With three other lines we now buy diesel, paint and rope in common. Paint became cheaper by a "
            "sixth, rope by a quarter; for diesel the saving is small.",
        ],
    ),
    (
        "Our people",
        [
            "We employ 412 people: 248 at sea, 97 in the harbours, 67 in the office and the workshop. In "
            "July another 80 students help in the kitchens and at the car deck.",
            "# Training",
            "Eleven apprentices began, six of them as engineers. For the first time more women than men "
            "applied for the course that leads to the captain's licence.",
            "# Health",
            "Sick leave fell to 4.8 percent. A physiotherapist visits each ship twice a month, since loading "
            "and lashing are hard on backs and knees.",
            "# Language",
            "Our crews speak fourteen languages. On board, orders are given in one, and a small printed "
            "card with forty phrases hangs in every cabin.",
            "# Working hours",
            "Sailors work two weeks and are free for two weeks. In a vote in the autumn, four of five "
            "wanted to keep it so.",
            "# Farewell",
            "Captain Olav Brandt retired after 41 years. He crossed the strait about 58,000 times, and on "
            "his last evening the harbour choir met him on the quay.",
        ],
    ),
    (
        "Environment and shore power",
        [
            "Our emissions of carbon dioxide fell by 18 percent to 21,400 tonnes. Most of the fall is "
            "Eldey's work: she sails on hydropower and charges for nine minutes at each end of the crossing.",
            "# Shore power",
            "Ships that sleep in Orrefjord are now plugged in at the quay, and the engines that used to hum "
            "through the night are silent. Neighbours noticed it before the instruments did.",
            "# Water and waste",
            "Waste water goes ashore instead of into the strait. Kitchen waste is turned into biogas; cups "
            "and plates are washed, not thrown away.",
            "# Paint and noise",
            "The new hull paint contains no copper. Under water our ships have become quieter too: the "
            "balanced propellers of Runa can be heard only half as far by seals and porpoises.",
            "# Next goals",
            "By the end of the decade no ship of ours shall burn diesel inside a harbour. The electricity "
            "company is laying a second cable to the quay in Lerum for that purpose.",
            "# Birds",
            "From April to July we keep 200 metres from the cliffs at Stone Head, where puffins nest.",
        ],
    ),
    (
        "Board and outlook",
        [
            "The board met nine times. Marit Holm was elected to the chair; Jonas Ekdal left after two terms "
            "and was thanked with a barometer.",
            "# Shareholders",
            "The island councils own 61 percent of the shares, the county 24 percent, and 1,340 private "
            "shareholders the rest. The board proposes a dividend of two crowns a share.",
            "# Rules and audit",
            "The board adopted new rules for gifts and for members who are related to a supplier. The "
            "auditors, Lind and Torvald, had no remarks on the accounts.",
            "# Risks",
            "The board discussed three risks at length: a long storm, a failure of the computers at the "
            "ticket counter, and the shortage of young engineers. For each of them there is now a plan on "
            "paper, and two of the plans have been rehearsed.",
            "# What comes next",
            "- A second battery ship is ordered and shall arrive in the spring after next.",
            "- The ramp at Hask will be rebuilt, with a roof.",
            "- Tickets will be sold by telephone as well as at the counter.",
            "We expect a calm year. The strait, as always, has not been asked.",
        ],
    ),
]
