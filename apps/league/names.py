"""Made-up names for generated players; any likeness is chance."""

FIRST = """
Aaron Adil Aled Amir Anders Anton Ben Bruno Callum Cem Ciaran Dan Dario Declan Emeka Emre Enzo
Erik Farid Felix Finn Gareth George Goran Hamid Harri Hugo Idris Ivan Jack Jamal Jonas Josh Kai
Karim Kofi Lars Leo Liam Luca Malik Marek Mateo Milan Musa Nabil Niall Nico Oisin Olu Omar Oscar
Owen Pablo Pavel Rafael Reza Rhys Ruben Sami Sandro Sean Silas Tariq Teo Tobias Tom Viktor Will
Yusuf Zane
""".split()  # noqa: SIM905 -- readable without two hundred quotes

LAST = """
Abara Adeyemi Ashdown Barlow Bergqvist Birch Boateng Brennan Calder Carvalho Castell Chowdhury
Corrigan Dalton Demir Devlin Drummond Duarte Eastwood Ekholm Falk Farrell Fenwick Ferreira
Gallacher Garside Gruber Hadley Halloran Haugen Hussain Iqbal Ivanov Jansen Kamara Kaya Kendrick
Kowal Lambert Larkin Lindahl Lockett Mahon Marchetti Mensah Merrick Moreau Novak Obi Okafor
Ortega Pashley Pereira Pryce Quayle Radley Rahman Ramsden Rossi Sandhu Santoro Sheldrake
Sinclair Sorensen Stavros Tanner Thorne Tierney Vance Varga Wadsworth Walcott Weller Wexford
Yilmaz Zander
""".split()  # noqa: SIM905 -- readable without two hundred quotes

TEAMS = ("Orange", "Green")
"""What the two sides of a generated match wear; who plays for which is drawn each time."""


def full_name(number: int) -> str:
    """Return the name of the player with a number from 0 on; no two have the same name."""
    times, index = divmod(number, len(FIRST) * len(LAST))
    row, column = divmod(index, len(FIRST))
    first, last = FIRST[column], LAST[(row + column) % len(LAST)]
    return f"{first} {last}" if times == 0 else f"{first} {last} {times + 1}"
