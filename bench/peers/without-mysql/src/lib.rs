//! Nothing: no program here uses MySQL.
