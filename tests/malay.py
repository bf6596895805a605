"""Malay sentences with accents, digits, punctuation and emoji, and a tokenizer trained on some."""

import functools
import os

import numpy as np
from preprocess_corpus import folder, write_text

from preprocess import tokenizer

PIECES = 300
WORDS = """saya awak dia kami mereka yang dan di ke dari untuk dengan pada ini itu tidak akan telah
sudah boleh makan minum nasi lemak rumah sekolah kerajaan negara Malaysia Kuala Lumpur tahun orang
anak ibu bapa kawan kereta jalan hujan panas buku membaca menulis belajar mengajar pelajar guru
pejabat menteri perdana berkata bahawa kerana supaya jika walau bagaimanapun antara kepada daripada
mengambil memberi membeli menjual harga ringgit pasar kedai ikan ayam sayur buah durian pisang
Café naïve résumé jalan-jalan kanak-kanak pertandingan pembangunan
diperkenalkan""".split()
INSERTS = """2019, 2019 1,000 19, 3.14 50% RM12.50 ke-21 (2020) “baik” ‘betul’ tetapi,
ya! apa? … ... kata: — – £5 €7 50/50 #viral é́ Ñoño façade Æsop ﬁlem ½ ² 😀 ❤️ 👍🏽 👨‍👩‍👧 🇲🇾 1️⃣ ☎️
''ya'' ``itu``""".split()


def sentences(count, seed):
    """Sentences of 3 to 14 words, a fifth of them not plain words."""
    random = np.random.RandomState(seed)
    found = []
    for _ in range(count):
        length = random.randint(3, 15)
        pools = [INSERTS if random.rand() < 0.2 else WORDS for _ in range(length)]
        words = [pool[random.randint(len(pool))] for pool in pools]
        if random.rand() < 0.3:
            words[0] = words[0].capitalize()
        gap = ["  ", "\u00a0", "\t", " "][min(3, random.randint(30))]
        line = gap.join(words[:3]) + " " + " ".join(words[3:])
        found.append(line + random.choice([".", "", "!"]))
    return found


@functools.lru_cache(maxsize=None)
def model():
    """Path of a model of `PIECES` pieces, trained on other sentences than the tests encode."""
    text = write_text(os.path.join(folder(), "malay.txt"), [sentences(1500, seed=1)])
    return tokenizer.train_tokenizer(text, os.path.join(folder(), "malay"), PIECES)
