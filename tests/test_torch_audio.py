import subprocess
import sys

import pytest

from speechbench.torch_audio import torchaudio


def test_its_python_parts_work():
    assert torchaudio.functional.create_dct(3, 4, norm="ortho").shape == (4, 3)
    assert sys.modules["torchaudio"] is torchaudio


BROKEN = """
import sys
from importlib.abc import MetaPathFinder

class Unloadable(MetaPathFinder):  # stands for an extension whose libraries are absent
    def find_spec(self, name, path, target=None):
        if name == "torchaudio._extension.utils" and not self.failed:
            self.failed = True
            raise OSError("libc10_cuda.so: cannot open shared object file")
    failed = False

finder = Unloadable()
sys.meta_path.insert(0, finder)
from speechbench.torch_audio import torchaudio
assert finder.failed
assert torchaudio.transforms.MelSpectrogram(16000, n_mels=10) is not None
assert torchaudio.functional.mask_along_axis is not None
"""


@pytest.mark.slow
def test_an_extension_that_does_not_load_is_taken_as_absent():
    done = subprocess.run([sys.executable, "-c", BROKEN], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
