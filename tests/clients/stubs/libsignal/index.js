// WhatsApp's cryptography is never called here; the names must exist to be imported.
module.exports = {};
