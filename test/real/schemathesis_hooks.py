"""How a pushed SET is written: as it is."""

import schemathesis

schemathesis.serializer.alias("application/secevent+jwt", "text/plain")
