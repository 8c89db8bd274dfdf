// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// A contract account with one owner, as ERC-1271 has it.
contract OwnedAccount {
    address public immutable owner;

    constructor(address owner_) {
        owner = owner_;
    }

    function isValidSignature(bytes32 digest, bytes calldata signature) external view returns (bytes4) {
        if (signature.length != 65) return 0xffffffff;
        bytes32 r = bytes32(signature[0:32]);
        bytes32 s = bytes32(signature[32:64]);
        address signer = ecrecover(digest, uint8(signature[64]), r, s);
        return signer != address(0) && signer == owner ? bytes4(0x1626ba7e) : bytes4(0xffffffff);
    }
}

/// Deploys accounts at addresses that are known before (CREATE2).
contract AccountFactory {
    event Deployed(address account);

    function deploy(address owner) external returns (address account) {
        account = addressOf(owner);
        if (account.code.length == 0) {
            new OwnedAccount{salt: bytes32(0)}(owner);
            emit Deployed(account);
        }
    }

    function addressOf(address owner) public view returns (address) {
        bytes32 code = keccak256(abi.encodePacked(type(OwnedAccount).creationCode, abi.encode(owner)));
        bytes32 hash = keccak256(abi.encodePacked(bytes1(0xff), address(this), bytes32(0), code));
        return address(uint160(uint256(hash)));
    }
}

/// An account whose answer is what its signature asks for: every way to answer badly.
contract OddAccount {
    function isValidSignature(bytes32, bytes calldata signature) external view returns (bytes4) {
        uint8 way = uint8(signature[0]);
        if (way == 1) revert("no");
        if (way == 2) while (true) {}
        if (way == 3) assembly { mstore(0, shl(224, 0x1626ba7e)) return(0, 4) }
        if (way == 4) assembly { mstore(0, shl(224, 0x1626ba7e)) return(0, 33) }
        if (way == 5) assembly { mstore(0, or(shl(224, 0x1626ba7e), 1)) return(0, 32) }
        if (way == 6) assembly { mstore(0, shl(224, 0x1626ba7e)) return(0, 1048576) }
        if (way == 7) return block.number % 2 == 0 ? bytes4(0x1626ba7e) : bytes4(0);
        if (way == 8) assembly { return(0, 0) }
        if (way == 9) assembly { mstore(0, 1) return(0, 32) }
        if (way == 10) assembly { invalid() }
        return 0x1626ba7e;
    }
}
