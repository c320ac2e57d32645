const absent = () => { throw new Error("libsignal is a stub"); };

exports.calculateMAC = absent;
exports.decrypt = absent;
exports.deriveSecrets = absent;
exports.encrypt = absent;
