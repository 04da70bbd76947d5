"""The raw words of the lexicon: base forms, most frequent first, by class and by the topic that they belong to.

The line "" of a class has the words that belong to every topic.
"""

from __future__ import annotations

TOPICS = ("harvest", "voyage", "mill", "market", "school", "court", "mountain", "illness", "music", "hunt")

Lines = dict[str, str]

OCCUPATIONS: Lines = {
    "harvest": "farmer reaper thresher labourer gleaner shepherd haymaker bailiff carter drover",
    "voyage": "sailor captain pilot whaler mate harpooner shipwright smuggler cook passenger",
    "mill": "miller carpenter weaver spinner engineer fuller cooper wheelwright millwright apprentice dyer clothier",
    "market": "merchant pedlar baker butcher grocer draper chandler tinker shopkeeper auctioneer moneylender",
    "school": "teacher scholar pupil tutor usher librarian copyist inspector bookbinder",
    "court": "judge lawyer clerk constable magistrate juror gaoler barrister sheriff notary prosecutor",
    "mountain": "guide goatherd hermit climber miner pilgrim surveyor innkeeper woodcutter muleteer",
    "illness": "doctor nurse surgeon apothecary sexton invalid physician herbalist dentist gravedigger",
    "music": "fiddler singer piper drummer organist choirmaster dancer composer harper bellringer flautist conductor",
    "hunt": "hunter gamekeeper forester trapper poacher falconer groom beater ranger",
}

PEOPLE: Lines = {
    "harvest": "ploughman dairymaid",
    "voyage": "fisherman boatswain",
    "market": "fishwife",
    "school": "schoolmaster governess schoolmistress",
    "court": "bishop",
    "mountain": "quarryman monk",
    "illness": "midwife priest",
    "hunt": "huntsman squire",
    "": "man woman boy girl neighbour child friend stranger widow traveller servant beggar guest soldier tailor "
    "cobbler blacksmith maid lodger orphan thief parson widower cousin bachelor prisoner messenger tenant landlord "
    "potter saddler barber thatcher mason glazier postman washerwoman housekeeper gardener painter printer clockmaker "
    "ropemaker basketmaker stonecutter coachman porter watchman tollkeeper schoolchild newcomer villager townsman "
    "deserter foreigner cripple giant twin elder heir uncle aunt",
}

MEN = (  # people with these words have a man's name
    "man boy widower bachelor landlord watchman coachman postman townsman uncle parson soldier fisherman ploughman "
    "boatswain schoolmaster bishop quarryman monk priest huntsman squire blacksmith giant"
)
WOMEN = "woman girl widow maid washerwoman housekeeper aunt dairymaid fishwife governess schoolmistress midwife"

THINGS: Lines = {
    "": "basket lantern box knife bag hat coat key blanket stick rope cup bottle cloak candle purse chair bundle jug "
    "pipe plate bowl bucket spoon ring umbrella shawl parcel handkerchief apron glove boot kettle ladder trunk pillow "
    "hammer watch mirror needle ribbon brush razor comb button broom spade bench stool lamp clock carpet curtain "
    "cushion chest toy doll portrait necklace locket snuffbox scarf belt buckle feather ladle tray teapot saucepan "
    "cradle thimble tablecloth matchbox penknife envelope newspaper photograph almanac",
    "harvest": "sickle scythe sheaf rake pitchfork wagon plough flail sack hayfork barrow yoke harrow hoe churn pail "
    "wheelbarrow haystack whetstone turnip cabbage pumpkin waterskin sieve",
    "voyage": "sail net oar compass barrel telescope map lifeboat chain mast sextant cutlass flag hammock harpoon raft "
    "paddle logbook buoy whistle cask cable pulley hook",
    "mill": "wheel millstone spindle loom bobbin saw plank chisel cog lever shuttle axle winch hopper plane shovel "
    "nail bolt crank ledger hatchet wrench mallet shaft",
    "market": "scale coin loaf apple pie egg onion ham crate pear sausage candlestick melon bonnet lemon potato "
    "trinket plum cake tankard beehive",
    "school": "book slate pen pencil desk inkwell globe primer satchel blackboard notebook dictionary atlas ruler cane "
    "bookmark grammar copybook inkstand abacus prize medal bookshelf",
    "court": "letter seal paper scroll summons robe wig gavel document handcuff charter petition contract receipt "
    "banknote warrant bible quill affidavit deed pistol dagger crown",
    "mountain": "rucksack axe tent iceaxe snowshoe sledge crystal pickaxe torch staff lump relic flask crucifix spike "
    "saddlebag peg horseshoe harness stirrup saddle bell",
    "illness": "bandage pill thermometer syringe poultice basin crutch coffin wreath lancet scalpel phial mattress "
    "nightcap sponge towel prescription stretcher splint nightgown dressing wheelchair",
    "music": "fiddle flute drum harp trumpet violin bow horn piano bagpipe tambourine hymnbook lute score cello "
    "clarinet oboe bassoon accordion metronome guitar",
    "hunt": "gun trap snare arrow spear crossbow pelt antler cage bullet muzzle leash collar hide tusk cartridge "
    "musket rifle quiver club fur decoy",
}

ANIMALS: Lines = {
    "": "horse dog cow sheep cat pony donkey mare goat pig hen goose mule bird mouse",
    "harvest": "ox lamb calf heifer ewe bull",
    "voyage": "gull whale parrot crab",
    "mill": "rat sparrow carthorse",
    "market": "rooster duck turkey piglet pigeon",
    "school": "kitten frog canary",
    "court": "greyhound magpie",
    "mountain": "eagle chamois raven marmot",
    "illness": "leech bat owl",
    "music": "nightingale thrush lark monkey",
    "hunt": "deer fox stag hare wolf boar hound pheasant falcon badger rabbit otter bear",
}

FOODS: Lines = {  # no plurals
    "": "bread soup milk cheese tea meat butter beer wine fish porridge honey salt broth water sugar bacon coffee "
    "cider ale rice jam brandy vinegar mustard gruel gin mutton beef cream pudding rum dough veal venison treacle",
}

GOODS: Lines = {  # no plurals; measured by the containers
    "": "flour wool corn wood coal straw hay wheat barley grain oil sand linen cotton leather tar gunpowder tobacco "
    "silk pepper iron clay lime paint seed soap wax turf rye malt chalk ink medicine silver copper tin lead timber",
}

MEASURES = "sack barrel basket box bag cart cask bundle crate bucket"

SITES: Lines = {
    "": "house church village inn river bridge road kitchen garden gate square street well cottage lane stable door "
    "fire tavern chapel graveyard cellar courtyard attic parlour ditch pond bakery smithy tower fountain hedge "
    "crossroads pump stile ford orchard station",
    "harvest": "field barn meadow farm granary dairy pasture farmyard cornfield paddock",
    "voyage": "harbour ship shore beach quay deck lighthouse cabin island wharf bay boathouse cliff reef cove",
    "mill": "mill workshop millpond weir warehouse sluice dam sawpit factory dyehouse",
    "market": "shop stall market booth bank arcade pawnshop guildhall cornmarket",
    "school": "school classroom library playground schoolroom college dormitory study museum academy",
    "court": "courtroom prison gaol palace office cell gallery gallows dock courthouse",
    "mountain": "mountain cave pass summit glacier peak hut valley ridge monastery waterfall slope gorge quarry",
    "illness": "hospital bedroom sickroom bed infirmary surgery ward almshouse asylum pharmacy dispensary",
    "music": "theatre ballroom stage bandstand cathedral belfry opera",
    "hunt": "forest clearing den kennel thicket lodge moor marsh park burrow copse warren",
}

# Sites that one can be at, but not in.
OPEN_SITES = (
    "river bridge road gate square street well lane door ditch pond tower fountain hedge crossroads pump stile ford "
    "threshing beach shore cliff reef quay deck wharf millpond weir sluice dam stall summit peak ridge waterfall slope "
    "dock gallows stage moor glacier bed bay island mountain harbour pass"
)

FIXTURES: Lines = {
    "": "window wall roof chimney fence floor shutter table cupboard hearth doorstep ceiling lock hinge staircase "
    "gutter signboard gatepost drain stove oven mantelpiece railing porch doorway cart carriage boat shed",
}

DOORS: Lines = {"": "door window gate shutter cupboard chest box trunk drawer"}

EVENTS: Lines = {
    "": "wedding funeral christening quarrel feast holiday visit storm flood accident journey",
    "harvest": "harvest ploughing haymaking threshing drought lambing",
    "voyage": "voyage shipwreck launching mutiny gale regatta",
    "mill": "strike milling explosion breakdown lockout inspection",
    "market": "fair auction sale famine bankruptcy bargain",
    "school": "lesson examination expulsion",
    "court": "trial verdict hearing hanging robbery lawsuit murder",
    "mountain": "ascent avalanche landslide climb expedition rescue",
    "illness": "fever plague epidemic operation confinement recovery",
    "music": "concert dance rehearsal festival recital serenade",
    "hunt": "hunt chase ambush bonfire stalking",
}

ABSTRACTS: Lines = {
    "": "news truth promise secret story mistake money debt word answer plan dream death rumour danger trouble "
    "kindness war friendship marriage reward duty loss insult work weather wages rent warning courage pride silence "
    "joy grief anger hunger shame luck advice help honesty cruelty poverty fortune wealth peace freedom patience",
    "harvest": "yield crop ripeness blight",
    "voyage": "tide wreckage homesickness cargo",
    "mill": "labour output noise machinery",
    "market": "price profit trade cost",
    "school": "arithmetic geography spelling history",
    "court": "law sentence guilt justice",
    "mountain": "height solitude echo",
    "illness": "pain cure contagion disease",
    "music": "melody rhythm harmony applause",
    "hunt": "scent pursuit game",
}

FEELINGS = (  # abstracts that need no article
    "trouble kindness war friendship pride silence joy grief anger hunger shame poverty death peace freedom money work "
    "luck honesty cruelty wealth patience courage danger pain justice music pity laughter idleness debt marriage"
)

WEATHER: Lines = {  # keyed by season
    "": "wind rain cloud sky sun moon star mist air",
    "spring": "shower thaw breeze rainbow",
    "summer": "heat thunder lightning dust",
    "autumn": "fog gust drizzle smoke",
    "winter": "snow frost ice sleet",
}

KIN_MALE = "brother father uncle son nephew grandfather grandson stepfather godfather"
KIN_FEMALE = "sister mother aunt daughter niece grandmother granddaughter stepmother godmother"

BODY = "hand head eye arm foot heart shoulder face finger knee leg back ear mouth neck nose tooth elbow thumb beard"

# Adjectives of people, things, beasts and places, and of feelings and thoughts.
TRAITS = (
    "old young kind poor honest proud quiet clever tall rich stern gentle lazy brave blind cheerful stubborn lame "
    "careful thin pious foolish modest greedy deaf strong clumsy cunning handsome wise idle rude shy sober stout bold "
    "learned humble ragged pale bald ambitious generous merry miserly obedient patriotic plump reckless respectable "
    "simple sullen talkative timid vain wicked worthy cautious eccentric elderly famous dishonest ugly unlucky "
    "industrious hardy solemn drunken witty ungrateful nimble"
)
QUALITIES = (
    "old new small large heavy broken little good fine black white red wooden empty brown dirty blue green long cheap "
    "rusty cracked beautiful clean worn painted yellow borrowed costly useless strange big light short plain bent "
    "crooked torn gilded sharp blunt faded shining stolen polished ancient oak thick round narrow hollow damp patched "
    "dusty battered precious tiny fragile sturdy neat odd ordinary ornate unusual enormous expensive elegant upright "
    "foreign"
)
BEASTLY = (
    "old young brown white black grey lame fat lean hungry fine spotted wild tame stray wounded swift thirsty stubborn "
    "nervous vicious sleepy shaggy speckled savage restless obedient enormous injured ailing"
)
LOCAL = (
    "old little dark quiet narrow empty stone great cold distant ruined muddy steep crowded deserted lonely wide new "
    "frozen gloomy green sunny noisy shady dusty low high abandoned ancient overgrown windy smoky pretty silent "
    "neighbouring dilapidated warm bright famous unfinished icy"
)
NOTABLE = (
    "long great sad terrible strange bitter old new sudden famous last whole unhappy dreadful wonderful simple "
    "unexpected solemn foolish curious tedious memorable costly evil painful endless"
)
JUDGEMENTS = (
    "long terrible sad strange bitter sudden dreadful wonderful simple unexpected foolish curious tedious memorable "
    "costly painful endless welcome useless important certain shameful hopeless tiresome difficult ruinous"
)
BODILY = "cold warm wet heavy stiff sore red swollen white dirty bloody weak"
MOODS = (
    "tired glad weary angry afraid happy sad ill content hungry lonely anxious calm silent ashamed cold sorry grateful "
    "hopeful thirsty jealous astonished cheerful unhappy drowsy sick bitter confused pleased uneasy impatient proud "
    "homesick feverish delighted alarmed frightened disappointed amused offended satisfied bewildered melancholy "
    "restless determined penniless speechless suspicious thankful troubled unwell"
)
STATES = (
    "wet dry broken empty ready heavy dirty clean full safe open cold warm ruined rotten dull bright useless valuable "
    "loose damp whole missing worthless"
)
POSSESSED = "fine old new black white brown little good young grey large small handsome excellent odd"
WEATHERLY = (
    "cold warm dark fine wet mild grey bright still hot dry misty stormy sunny windy dull cloudy foggy clear chilly"
)
COMPARABLE = (  # have -er and -est
    "old young tall poor rich strong wise kind proud brave small large heavy long cheap fine big light short clean "
    "dirty thin stout bold stern quiet gentle plain sharp thick narrow cold warm dark steep lonely high low great "
    "green dusty rusty muddy tiny pale humble idle lazy happy sad angry hungry weary fat lean swift wild tame clever "
    "shy merry pretty noisy bright dull hot mild damp wide neat odd ugly hardy greedy new strange simple sturdy calm "
    "lucky"
)

# Verbs by their objects.
HANDLE: Lines = {  # a thing that can be carried
    "": "carry take find hold lift drop bring fetch lose hide clean pick wrap throw steal borrow keep examine clutch "
    "shake touch pack unwrap snatch admire drag push polish tie untie turn count hang lower label balance retrieve "
    "mislay fling kick replace claim grasp wave raise empty damage",
}
GIVE: Lines = {"": "give show lend send hand offer sell promise bequeath deliver"}
TEND: Lines = {
    "": "feed lead water drive brush chase pet tether whip stroke calm harness fatten shelter",
    "harvest": "milk shear",
    "hunt": "shoot track skin stalk",
    "mountain": "herd",
    "market": "pluck weigh",
}
TRADE: Lines = {"": "buy purchase pawn hire auction"}
MOVE: Lines = {
    "": "walk go run ride return hurry come travel creep wander climb step move stride rush flee stumble limp trudge "
    "journey crawl stroll ramble slip gallop trot stagger tiptoe roam race scurry plod descend dash",
}
STAY: Lines = {"": "sit stand wait stay rest sleep kneel linger lie dwell crouch doze shiver pause lodge loiter"}
WORK: Lines = {
    "": "work talk laugh weep smile labour whistle yawn sneeze pray drink smoke nod bow tremble toil complain argue "
    "gossip grumble hesitate tire",
    "harvest": "reap mow dig plough sow thresh glean rake winnow hoe",
    "voyage": "row sail fish steer swim dive drift paddle",
    "mill": "grind spin weave saw hammer plane",
    "market": "haggle trade bargain barter advertise cheat",
    "school": "study read write recite spell",
    "court": "testify plead swear confess protest appeal",
    "mountain": "scramble camp freeze slide slither clamber",
    "illness": "cough recover suffer moan vomit bleed faint",
    "music": "sing dance play practise fiddle drum hum",
    "hunt": "hunt aim poach",
}
PERCEIVE: Lines = {"": "see watch notice hear observe recognise recall spot glimpse discover ignore describe sketch"}
SOCIAL: Lines = {
    "": "thank meet greet follow blame trust obey pity marry tease scold comfort warn invite accompany advise praise "
    "accuse envy forgive deceive miss welcome nurse pay insult embrace kiss protect reassure question rob betray "
    "despise encourage flatter disturb entertain respect persuade congratulate nudge avoid bury employ dismiss "
    "surprise annoy fight summon",
    "court": "arrest sentence acquit condemn defend",
    "illness": "heal cure bandage",
    "school": "teach punish instruct",
    "music": "applaud",
}
THINK: Lines = {
    "": "think know believe hope suppose dream understand imagine doubt suspect guess admit realise conclude boast "
    "assume pretend insist"
}
WISH: Lines = {
    "": "want try begin wish decide mean refuse agree intend forget prepare start resolve long manage struggle threaten"
}
PLACE: Lines = {"": "reach leave cross enter pass guard own sweep search inherit approach visit rent explore circle"}
FIX: Lines = {"": "mend repair paint wash scrub break build strike inspect burn measure smash"}
UNLOCK: Lines = {"": "open shut close unlock"}
CONSUME: Lines = {"": "eat taste cook share finish smell serve spill waste swallow"}
CARE: Lines = {
    "": "remember discuss fear mention regret enjoy await love hate expect deny celebrate endure dread deserve deplore "
    "foresee prefer"
}
PERSUADE: Lines = {"": "ask tell beg command allow compel forbid urge order help"}
BECOME: Lines = {"": "seem feel look become grow remain appear"}
GLOW: Lines = {"": "rise fall fade come gather spread thicken vanish linger return clear drift descend pass"}
ROAM: Lines = {"": "wait stray bolt sleep wander tremble limp feed vanish drink appear escape stand lie run tire rest"}
RAIN: Lines = {"": "rain snow hail thunder drizzle", "spring": "thaw", "winter": "freeze"}  # it rains
ACHE: Lines = {"": "ache tremble shake swell bleed heal burn"}  # what a part of the body does
REST: Lines = {"": "lie stand hang"}  # what a thing does
HAPPEN: Lines = {"": "begin end last follow fail continue succeed"}  # what an event does
SPEAK = "say answer reply whisper mutter murmur explain sigh add remark declare announce"
ASK = "ask inquire demand wonder"
CRY = "cry shout exclaim roar scream gasp"

MANNER = (
    "slowly quickly quietly carefully gently softly silently calmly sadly gladly bravely proudly eagerly angrily "
    "patiently secretly nervously cheerfully wearily politely firmly clumsily hastily anxiously kindly boldly bitterly "
    "solemnly lazily foolishly neatly skilfully awkwardly gracefully reluctantly willingly steadily thoughtfully "
    "fiercely honestly idly humbly tenderly sternly cautiously suspiciously swiftly timidly rudely merrily stiffly "
    "gravely painfully hurriedly stubbornly modestly greedily dutifully absently loudly"
)
OPENING_ADVERBS = (
    "then soon later meanwhile afterwards presently suddenly eventually finally now sometimes fortunately "
    "unfortunately perhaps once gradually strangely naturally indeed certainly luckily"
)
OFTEN = "often never always seldom rarely still soon again nearly almost scarcely hardly"

MALE = (
    "John William Thomas James George Henry Robert Edward Richard Charles Joseph Samuel David Peter Daniel Stephen "
    "Matthew Benjamin Isaac Jacob Adam Ralph Simon Walter Philip Hugh Martin Edmund Nathaniel Luke Abraham Arthur "
    "Gilbert Oliver Roger Francis Andrew Michael Alexander Laurence Geoffrey Christopher Nicholas Timothy Jonathan "
    "Ambrose Bernard Caleb Ebenezer Silas Tobias Reuben Josiah Jeremiah Godfrey"
)
FEMALE = (
    "Mary Anne Elizabeth Sarah Jane Margaret Hannah Martha Alice Ellen Catherine Susan Harriet Emma Charlotte Lucy "
    "Rebecca Agnes Isabel Eleanor Dorothy Frances Rachel Judith Esther Lydia Caroline Louisa Sophia Phoebe Maria Julia "
    "Amelia Barbara Bridget Clara Deborah Edith Fanny Georgiana Helen Jemima Joan Kitty Matilda Millicent Naomi "
    "Philippa Priscilla Rosamund Ruth Sabina Tabitha Ursula Winifred"
)
SURNAMES = (
    "Holt Thorne Ashby Barlow Fenwick Garrett Harding Ingram Jessop Kemp Langley Morland Norris Osborne Pratt Quincy "
    "Radley Sutton Underhill Vane Wainwright Yardley Aldous Bartram Catchpole Dunning Eccles Farraday Gorringe "
    "Hathaway Jarvis Kettering Larkin Mortimer Nettleton Oakley Penrose Ridley Stapleton Thackeray Upjohn Verney "
    "Whitlock Birdsall Crowther Dawkins Elphick Fairfax Gaskell Hawkins Hebden Loxley Maddox Pemberton Prescott "
    "Rowbotham Seabrook Selwyn Tilney Trelawney Tremaine Venning Wetherby Wickham Winslow Woodhouse Wrexham Bellamy "
    "Blackwood Bramwell Chadwick Copley Corbett Cotterill Darnley Denholm Dorrit Drummond Ellery Everard Gillingham "
    "Grimshaw Haldane Halliday Heskett Hollis Hornby Huxley Kirby Latimer Lockwood Marlowe Merrick Milburn Ormerod "
    "Pascoe"
)
TOWNS = (
    "Ashford Whitby Oakham Marlow Thornbury Ludlow Kirkby Fairford Wexcombe Harwich Milton Dunster Elmsley Norwood "
    "Stanhope Coldbrook Brackley Hexham Redmire Sandwell Penrith Aldbury Westerham Longfield Kelso Overton Ravenglass "
    "Tavistock Burford Calne Dereham Easingwold Frome Garstang Helmsley Ilminster Knutsford Leominster Malton Nantwich "
    "Otley Pickering Quorn Romsey Settle Tetbury Uppingham Wantage Yarm Alnwick Bakewell Dulverton Ely Faringdon "
    "Glossop Holmfirth Ironbridge Keswick Lavenham Matlock Northleach Olney Painswick Richmond Skipton Thirsk "
    "Ulverston Ventnor Wirksworth Ambleside Beaminster Corfe Diss Evesham Framlingham Guisborough Halesworth Ipswich "
    "Kendal Lewes Minehead Newmarket Oundle Petworth Reigate Saxmundham Totnes Uckfield Wetwang Amesbury Bewdley "
    "Cromer Droitwich Eyemouth Fowey Godalming Hungerford Ilkley Kington Ledbury Melrose Northallerton Oswestry "
    "Padstow Ripon Southwold Tenterden Upwey Warminster Axminster Bideford Cirencester Dorking Exford Falmouth "
    "Grasmere Kimbolton Lydford"
)
PARTS_OF_DAY = "morning evening afternoon night"
DAYS = "morning evening day afternoon night"
HOURS = "dusk dawn noon night sunrise sunset midnight daybreak"
UNITS = "days weeks hours months years"
SPAN = "day night week morning evening month winter summer year"
COINS = "shillings pounds pence crowns guineas"
MONTHS = "January February March April May June July August September October November December"
FUNCTION_WORDS = (  # words that the grammar itself writes
    "a after ago alas all although am an and are as at autumn away because before behind beside but by called can "
    "cannot could did do does ended ends every everybody fate first for from had has have he her him his home i if in "
    "into is it let life listen lived lives luck madam me might must my name named near next no nobody nonsense not of "
    "oh on once our outside over past quite rather shall she should since sir so spring still story such than that the "
    "their them there this thus till to too towards until us very was we well were when where while who whose why will "
    "winter with would yes yet you your summer going never has last friend indeed some"
)
UNUSED = (  # forms that no construction uses
    "SPEECH.speak.ing SPEECH.ask.base SPEECH.ask.ing SPEECH.ask.done SPEECH.cry.base SPEECH.cry.ing SPEECH.cry.done "
    "VERBS.think.ing VERBS.become.ing VERBS.persuade.ing VERBS.glow.base VERBS.glow.done VERBS.ache.base "
    "VERBS.ache.done VERBS.rain.base VERBS.rain.done VERBS.happen.ing VERBS.happen.done VERBS.roam.done "
    "VERBS.rest.done VERBS.rest.ing"
)
NUMBERS = "two three four six five several many some ten twelve seven eight twenty nine forty thirty fifty eleven"
VERB_CLASSES = (
    "HANDLE GIVE TEND TRADE MOVE STAY WORK PERCEIVE SOCIAL THINK WISH PLACE FIX CONSUME CARE BECOME GLOW ROAM PERSUADE "
    "UNLOCK ACHE RAIN REST HAPPEN"
)
