"""`python -m tests.faults.fuzz`: see `tests.faults.fuzz.run`."""

import sys

from tests.faults.fuzz.run import main

sys.exit(main())
