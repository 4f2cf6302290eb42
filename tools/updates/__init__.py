"""Updates over AWS: releases, rollouts, certificates, claims (docs/updates.md)."""
