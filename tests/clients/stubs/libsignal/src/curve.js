const absent = () => { throw new Error("libsignal is a stub"); };

exports.calculateSignature = absent;
exports.generateKeyPair = absent;
exports.verifySignature = absent;
