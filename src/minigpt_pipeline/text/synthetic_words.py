"""The words of the embedded corpus: classes of words, and how likely each is given rating and genre.

Within a list the first word is about three times as likely as the last, so that no frequency needs thousands of
reviews to be learned. Every name is invented: surnames are put together from parts of place names.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

RATINGS = (1, 2, 3, 4, 7, 8, 9, 10)
"""The archive holds no review of 5 or 6 stars: they are neither negative nor positive."""

POSITIVE_RATINGS = RATINGS[4:]

GENRES = ("western", "thriller", "comedy", "romance", "fantasy", "mystery")

_TIER_SHARES = (
    (0.75, 0.25, 0.0, 0.0),
    (0.60, 0.40, 0.0, 0.0),
    (0.40, 0.60, 0.0, 0.0),
    (0.25, 0.75, 0.0, 0.0),
    (0.0, 0.0, 0.75, 0.25),
    (0.0, 0.0, 0.60, 0.40),
    (0.0, 0.0, 0.40, 0.60),
    (0.0, 0.0, 0.25, 0.75),
)
"""Of each rating's opinions, the shares that are furious, disappointed, pleased and enthusiastic."""


@dataclass(frozen=True)
class WordClass:
    """Words that can stand in the same place.

    Args:
        words: Lower case, each one token.
        probabilities: float64, (num_ratings or 1, num_genres or 1, num_words): of each word given rating and genre;
            sums to one over the words.
        is_of_film: Drawn once for a film: later mentions repeat the first.
        is_name: Written with a capital letter.
    """

    words: tuple[str, ...]
    probabilities: np.ndarray
    is_of_film: bool = False
    is_name: bool = False


def _slope(num_words: int) -> list[float]:
    """Return probabilities that fall by a factor of three from the first word to the last."""
    weights = [1 / (rank + num_words / 2) for rank in range(num_words)]
    total = sum(weights)
    return [weight / total for weight in weights]


def _any(words: str | Sequence[str], is_of_film: bool = False, is_name: bool = False) -> WordClass:
    """Make a class that depends on nothing."""
    listed = tuple(words.split() if isinstance(words, str) else words)
    return WordClass(listed, np.array(_slope(len(listed))).reshape(1, 1, -1), is_of_film, is_name)


def _by_tier(*tiers: str) -> WordClass:
    """Make a class that agrees with the rating: words for furious, disappointed, pleased, enthusiastic reviews."""
    lists = [tier.split() for tier in tiers]
    rows = [
        [share * p for share, words in zip(shares, lists, strict=True) for p in _slope(len(words))]
        for shares in _TIER_SHARES
    ]
    return WordClass(tuple(word for words in lists for word in words), np.array(rows)[:, None, :])


def _by_genre(**lists: str) -> WordClass:
    """Make a class of a film, of words that belong to its genre alone."""
    words = {genre: lists[genre].split() for genre in GENRES}
    rows = [
        [p if own == genre else 0.0 for own in GENRES for p in _slope(len(words[own]))] for genre in GENRES
    ]
    return WordClass(
        tuple(word for genre in GENRES for word in words[genre]), np.array(rows)[None, :, :], True
    )


def _compose(stems: str, endings: str) -> list[str]:
    return [stem + ending for stem in stems.split() for ending in endings.split()]


_STEMS = "alder bram cald dun ever fen gar hal kel lang mar nor"

WORD_CLASSES: Mapping[str, WordClass] = {
    # Of the film: its title and its people. No word stands in two of these lists, nor anywhere else.
    "title_first": _any(
        "crimson silent broken golden midnight winter paper hollow burning distant savage velvet seven "
        "frozen secret iron hidden forgotten scarlet wandering electric silver crooked endless sleeping "
        "stolen bitter northern emerald marble",
        is_of_film=True,
        is_name=True,
    ),
    "title_last": _any(
        "harbor mirrors garden rivers crown lanterns promises bridges orchard voices kingdom echoes ladders "
        "feathers horizon sparrows tides roses thunder carnival meadow compass anchors chimneys labyrinth "
        "avenue serpents moon paradise daughters",
        is_of_film=True,
        is_name=True,
    ),
    "director_first": _any(
        "robin morgan jamie taylor casey jordan riley avery quinn rowan skyler emerson finley harper kendall "
        "marlow",
        is_of_film=True,
        is_name=True,
    ),
    "director": _any(_compose(_STEMS, "moor wick"), is_of_film=True, is_name=True),
    "actor_first": _any(
        "john peter henry walter albert simon victor leonard martin oscar philip gerald howard bruno edgar "
        "felix",
        is_of_film=True,
        is_name=True,
    ),
    "actor": _any(_compose(_STEMS, "land grove"), is_of_film=True, is_name=True),
    "actress_first": _any(
        "mary anna helen clara rosa julia vera alice diana edith flora gloria irene judith laura martha",
        is_of_film=True,
        is_name=True,
    ),
    "actress": _any(_compose(_STEMS, "vale worth"), is_of_film=True, is_name=True),
    "hero": _any(
        "amos barney caleb dexter elmer floyd gideon hector ignatius jasper kasper linus magnus nestor orson "
        "percy quentin rufus silas tobias ulric vernon wendell xavier yorick zeke abner boris cyrus duncan",
        is_of_film=True,
        is_name=True,
    ),
    "genre": WordClass(GENRES, np.eye(len(GENRES))[None, :, :], is_of_film=True),
    "role": _by_genre(
        western="sheriff cowboy gunslinger rancher deputy outlaw blacksmith prospector marshal drifter",
        thriller="spy assassin detective diplomat hacker smuggler agent courier sniper pilot",
        comedy="waiter plumber salesman magician clown tourist babysitter mailman butler juggler",
        romance="florist painter poet baker pianist dancer librarian widower dressmaker gardener",
        fantasy="wizard knight prince alchemist dragonslayer sorcerer elf minstrel warlock apprentice",
        mystery="inspector journalist professor lawyer coroner chauffeur butcher locksmith archivist medium",
    ),
    "place": _by_genre(
        western="ranch saloon canyon prairie desert mine",
        thriller="embassy airport warehouse laboratory casino bunker",
        comedy="hotel circus supermarket kindergarten campground nightclub",
        romance="vineyard bakery lighthouse bookshop boathouse cottage",
        fantasy="castle cavern forest temple swamp citadel",
        mystery="mansion museum monastery theater hospital observatory",
    ),
    # That agree with the rating: furious, disappointed, pleased, enthusiastic.
    "quality": _by_tier(
        "terrible awful horrible dreadful pathetic atrocious abysmal appalling laughable worthless unbearable idiotic "
        "stupid disgusting miserable insulting",
        "weak boring dull disappointing mediocre clumsy tedious forgettable predictable shallow bland flat uneven "
        "confusing pointless lifeless",
        "good nice pleasant enjoyable decent charming solid likable entertaining amusing clever engaging satisfying "
        "watchable competent agreeable",
        "brilliant superb excellent wonderful perfect stunning magnificent outstanding breathtaking unforgettable "
        "amazing flawless masterful extraordinary fantastic marvelous",
    ),
    "manner": _by_tier(
        "horribly dreadfully terribly shamefully disgracefully",
        "poorly badly lazily carelessly feebly",
        "well nicely neatly competently skillfully",
        "brilliantly superbly perfectly beautifully magnificently",
    ),
    "skill": _by_tier(
        "stupidity incompetence contempt arrogance cruelty ignorance vulgarity nonsense",
        "clumsiness indifference confusion laziness caution monotony hesitation awkwardness",
        "charm skill wit care humor warmth energy confidence",
        "genius brilliance mastery grace passion wisdom elegance magic",
    ),
    "verdict": _by_tier(
        "disaster disgrace travesty abomination catastrophe insult",
        "disappointment failure mess letdown muddle chore",
        "pleasure delight treat success surprise diversion",
        "masterpiece triumph gem classic marvel miracle",
    ),
    "works": _by_tier(
        "fails collapses stinks irritates offends disgusts hurts crashes",
        "drags stumbles disappoints falters wanders fades struggles bores",
        "works entertains amuses delivers charms satisfies convinces succeeds",
        "shines soars dazzles astonishes triumphs enchants glows sparkles",
    ),
    "loved": _by_tier(
        "hated despised loathed",
        "disliked regretted skipped",
        "liked enjoyed appreciated",
        "loved adored treasured",
    ),
    "knows": _by_tier(
        "insults ruins wastes butchers",
        "misunderstands neglects overlooks forgets",
        "understands respects appreciates knows",
        "celebrates illuminates ennobles loves",
    ),
    "score": WordClass(tuple(str(rating) for rating in RATINGS), np.eye(len(RATINGS))[:, None, :]),
    # That depend on nothing.
    "whom": _any("we you they people children critics audiences"),
    "share": _any("share exchange survive endure enjoy rehearse describe witness suffer interrupt"),
    "beside": _any("beside opposite against behind after before with near"),
    "plays": _any("plays portrays becomes embodies imitates impersonates"),
    "then": _any("then soon later suddenly meanwhile eventually afterwards finally unexpectedly reluctantly"),
    "directs": _any("directs films stages shoots presents handles treats tackles adapts helms"),
    "recommended": _any(
        "recommended praised mentioned discussed described promoted defended advertised suggested rented "
        "borrowed bought"
    ),
    "link": _any("and among beside without behind against near beneath above versus under"),
    "saw": _any(
        "watched saw caught rented streamed borrowed finished bought discovered revisited taped downloaded"
    ),
    "which": _any("the this that another some one"),
    "degree": _any(
        "really truly simply quite rather utterly totally completely absolutely remarkably thoroughly "
        "surprisingly strangely genuinely frankly unusually undeniably consistently deeply positively "
        "deliberately effortlessly endlessly entirely equally essentially fairly honestly hopelessly "
        "immediately incredibly largely mostly notably obviously profoundly purely relentlessly somehow "
        "undoubtedly"
    ),
    "companion": _any(
        "wife husband brother sister mother father cousin neighbor roommate girlfriend boyfriend uncle aunt nephew "
        "niece grandmother colleague boss teacher dentist barber stepmother nanny"
    ),
    "woman": _any(
        "wife sister mother cousin neighbor roommate girlfriend aunt niece grandmother colleague boss teacher dentist "
        "stepmother nanny secretary bride landlady hairdresser"
    ),
    "trait": _any(
        "lonely stubborn young retired nervous greedy gentle jealous shy proud wealthy homeless ambitious "
        "cynical divorced elderly faithful grumpy handsome innocent jobless kind loyal mysterious naive "
        "obsessive penniless quiet reckless selfish talkative unhappy vengeful widowed arrogant bearded "
        "cheeky drunken eccentric famous gifted heroic impatient lazy melancholy noble orphaned pregnant "
        "rebellious sensitive timid unlucky vain wounded anxious blind cowardly brave hungry sleepless "
        "forgetful polite ruthless superstitious pious modest muscular barefoot absentminded fearless "
        "generous spoiled weary homesick spiteful stern tireless humble gullible outspoken pompous merry "
        "mischievous frail dashing bossy"
    ),
    "mood": _any(
        "dark strange cold bright violent sad dusty foggy glamorous haunted lush moonlit muddy noisy "
        "ordinary peaceful pale rainy romantic rusty shabby shadowy snowy sunny surreal tense tropical "
        "ugly vivid warm ancient bizarre chaotic dreamy elaborate fragile gloomy hectic icy jagged misty "
        "sinister tender stormy crowded deserted dim dirty empty faded feverish festive flickering "
        "forbidding frantic frosty grotesque hypnotic intimate lavish melodious murky mystical nostalgic "
        "poetic primitive raw ruined scorched sentimental serene sleazy spooky swirling theatrical "
        "twisted wild"
    ),
    "people": _any(
        "strangers neighbors brothers sisters twins soldiers criminals lovers orphans widows teenagers "
        "parents children sailors nurses priests thieves rivals farmers prisoners musicians students "
        "refugees gamblers beggars bankers policemen hunters monks tailors athletes fishermen swindlers "
        "cousins pirates politicians actors ballerinas carpenters clerks cooks emigrants explorers "
        "generals ghosts heirs hermits hitchhikers janitors judges miners nuns peasants philosophers "
        "sergeants servants shepherds singers tenants truckers vampires veterans"
    ),
    "details": _any(
        "faces secrets shadows dreams streets lies crowds memories windows jokes hands regrets staircases "
        "fears candles ideas doorways surprises clouds desires curtains mistakes trains quarrels horses "
        "rumors umbrellas betrayals rooftops ambitions fountains arguments puddles confessions statues debts "
        "clocks grudges bicycles illusions balconies nightmares cigarettes obsessions fireworks riddles "
        "gravestones sacrifices hallways temptations landscapes tragedies photographs visions sunsets wishes "
        "telephones sorrows tombs superstitions uniforms delusions valleys disguises waterfalls doubts "
        "alleys emotions automobiles gestures beaches grievances billboards hopes bottles humiliations boots "
        "insults cathedrals jealousies carriages longings chandeliers losses cliffs misunderstandings "
        "costumes passions eyes pranks fields prejudices flags prophecies flowers reconciliations gloves "
        "revelations hats rituals highways scandals insects seductions keys silences leaves suspicions "
        "mountains symbols pigeons taboos posters threats raindrops vices scars virtues violins drums "
        "trumpets guitars pianos flutes harps trombones banjos cellos choirs clarinets accordions bagpipes "
        "cymbals fiddles harmonicas oboes organs saxophones"
    ),
    "thing": _any(
        "letter map diary necklace suitcase painting diamond briefcase photograph treasure pistol ring "
        "violin fortune contract telegram passport inheritance bracelet manuscript dagger ledger potion "
        "medal coffin parrot sculpture recipe ransom will amulet blueprint cigar cookbook crossbow doll "
        "envelope formula gramophone horse key lamp locket mask notebook pendant portrait rifle robe "
        "saddle statue sword telescope ticket trunk typewriter umbrella vase wallet watch wig"
    ),
    "task": _any(
        "find protect steal hide rescue follow forgive betray confront deceive destroy expose fight help "
        "impress kidnap marry persuade poison recover remember save seduce sell surprise trust warn "
        "punish bribe abandon adopt arrest avoid blackmail bury capture comfort defend disguise distract "
        "entertain feed hypnotize imitate insult interview invite mislead obey outwit please question "
        "replace reunite serve shelter teach tease visit"
    ),
    "deeds": _any(
        "finds loses steals hides buries inherits discovers destroys sells borrows breaks burns chases "
        "defends delivers describes examines fears forgets guards ignores invents investigates keeps "
        "misplaces needs paints photographs recognizes repairs wins wants abandons accepts admires "
        "auctions carries catches cleans collects copies demands donates drops exchanges hates imagines "
        "mails measures mentions offers polishes receives refuses rejects removes rents returns smashes "
        "studies swallows treasures unwraps"
    ),
    "scene": _any(
        "chase wedding funeral dinner duel robbery trial kiss storm dance interview explosion picnic "
        "ambush auction banquet birthday burglary christening concert confession crash divorce execution "
        "farewell hanging interrogation jailbreak masquerade reunion riot seance shootout toast "
        "tournament audition baptism barbecue breakfast brawl ceremony collision conversation coronation "
        "courtship dream earthquake eclipse engagement escape eviction exorcism fire flashback flood game "
        "haircut heist hunt journey landing lecture"
    ),
    "spot": _any(
        "kitchen cellar church station attic corridor bathroom cemetery elevator garage basement "
        "courtyard dungeon factory gymnasium infirmary jail market nursery office pantry playground "
        "rowboat school stable subway tavern tunnel village zoo barn bedroom chapel "
        "arcade ballroom cabin cafe cave classroom closet club "
        "fairground fortress graveyard greenhouse hut jungle lobby motel parlor prison "
        "restaurant ruin shed studio trench vault"
    ),
    "aspect": _any(
        "script editing lighting photography pacing direction plot ending dialogue production casting wardrobe "
        "makeup choreography narration rhythm structure subplot finale storytelling sound "
        "suspense "
    ),
    "asset": _any(
        "voice smile timing accent laugh posture charisma gaze walk stare temper silence hairstyle "
        "delivery instinct vulnerability restraint intensity courage dignity"
    ),
    "react": _any(
        "laugh cry think smile yawn sigh shiver applaud blush cheer cringe doze faint fidget gasp giggle groan scream "
        "shudder snore squirm tremble weep whisper"
    ),
}
