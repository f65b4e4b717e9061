"""Sentences in other languages than English, put together from parts."""

import random

PARTS = {
    "de": (
        ("Der Film", "Die Geschichte", "Die Schauspielerin", "Das Drehbuch", "Die Musik"),
        ("ist leider sehr", "war erstaunlich", "bleibt bis zum Ende", "wirkt auf mich"),
        ("langweilig", "spannend", "traurig", "unglaubwürdig", "gut gemacht"),
    ),
    "fr": (
        ("Le film", "Cette histoire", "La musique", "Le scénario", "Chaque acteur"),
        ("est malheureusement", "reste jusqu'à la fin", "semble toujours", "était pour moi"),
        ("magnifique", "trop long", "sans aucun intérêt", "plein de surprises"),
    ),
    "es": (
        ("La película", "Esta historia", "La música", "El guion", "Cada actor"),
        ("es por desgracia", "sigue siendo hasta el final", "parece siempre", "fue para mí"),
        ("muy aburrido", "una maravilla", "demasiado largo", "lleno de sorpresas"),
    ),
}


def write_texts(language: str, num_texts: int, seed: int = 0) -> list[str]:
    """Write different texts of some sentences."""
    rng = random.Random(seed)
    parts = PARTS[language]
    texts = {
        " ".join(f"{' '.join(rng.choice(part) for part in parts)}." for _ in range(rng.randint(4, 12)))
        for _ in range(num_texts)
    }
    assert len(texts) == num_texts
    return sorted(texts)
