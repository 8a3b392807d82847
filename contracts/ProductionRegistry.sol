// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {AccessControl} from "@openzeppelin/contracts/access/AccessControl.sol";
import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";

/// @title The production registry
/// @notice Says, for anybody to read and nobody to change, which model went into production
/// with which passport, and which checkpoints a transparency log had published by when.
/// @dev Nothing here can be changed or removed once it is written, and there is no upgrade:
/// whoever holds a role can add wrong things, and never take away a right one. Every writing
/// function may be sent twice, because a sender that lost an answer sends again: the second
/// call changes nothing, logs nothing and does not revert.
contract ProductionRegistry is AccessControl, Pausable {
    /// @notice May call recordProduction.
    bytes32 public constant RECORDER_ROLE = keccak256("RECORDER_ROLE");
    /// @notice May call anchorLog.
    bytes32 public constant ANCHORER_ROLE = keccak256("ANCHORER_ROLE");
    /// @notice May call pause and unpause.
    bytes32 public constant PAUSER_ROLE = keccak256("PAUSER_ROLE");

    /// @notice Longest text of each kind, in bytes. Texts are kept in the event alone, so
    /// these limits only bound what one event may cost its readers.
    uint256 public constant MAX_MODEL_ID = 256;
    uint256 public constant MAX_VERSION = 128;
    uint256 public constant MAX_ORIGIN = 256;
    /// @notice How far, in seconds, a stated time may be ahead of the block that records it.
    /// A block states when its slot began, and a call that is only tried is run on the last
    /// block, so an honest clock is always a little ahead.
    uint64 public constant MAX_AHEAD = 15 minutes;

    struct Production {
        address recorder;
        uint64 timestamp;
        uint64 blockNumber;
        uint64 blockTime;
    }

    struct Anchor {
        bytes32 rootHash;
        uint64 blockNumber;
        uint64 blockTime;
    }

    mapping(bytes32 key => Production) private _productions;
    mapping(bytes32 originHash => uint64) private _lastSize;
    mapping(bytes32 originHash => mapping(uint64 treeSize => Anchor)) private _anchors;

    /// @notice A model's passport was recorded for the first time.
    /// @param key keccak256(abi.encode(modelId, version, contentHash))
    /// @param contentHash SHA-256 of the passport
    /// @param timestamp when it went into production, in Unix seconds, as the recorder states
    event ProductionRecorded(
        bytes32 indexed key,
        bytes32 indexed contentHash,
        string modelId,
        string version,
        uint64 timestamp,
        address recorder
    );

    /// @notice A checkpoint of a transparency log was recorded for the first time.
    /// @param originHash keccak256 of the log's origin
    event LogAnchored(bytes32 indexed originHash, uint64 indexed treeSize, bytes32 rootHash, string origin);

    /// @notice A text is missing. `field` names it.
    error EmptyText(string field);
    /// @notice A text has more than `max` bytes.
    error TextTooLong(string field, uint256 max);
    /// @notice A hash is all zeros, which no content has.
    error ZeroHash();
    /// @notice A tree of no leaves says nothing.
    error EmptyTree();
    /// @notice The stated time is more than MAX_AHEAD after the block's.
    error TimestampInFuture(uint64 stated, uint64 blockTime);
    /// @notice A larger tree of this log is recorded already.
    error StaleAnchor(uint64 stated, uint64 last);
    /// @notice Another root of the same size is recorded: the log has shown two histories.
    error ForkedAnchor(uint64 treeSize, bytes32 recorded, bytes32 stated);

    /// @param admin gives and takes roles, and may pause until somebody else is given that
    constructor(address admin) {
        _grantRole(DEFAULT_ADMIN_ROLE, admin);
        _grantRole(PAUSER_ROLE, admin);
    }

    /// @notice Records that a version of a model went into production with this passport.
    /// @param contentHash SHA-256 of the passport
    /// @param timestamp Unix seconds. It must be fixed before the first attempt and sent
    /// again as it was: the first one that is mined stays.
    /// @return created false if the same three were recorded before
    function recordProduction(string calldata modelId, string calldata version, bytes32 contentHash, uint64 timestamp)
        external
        onlyRole(RECORDER_ROLE)
        whenNotPaused
        returns (bool created)
    {
        _checkText("modelId", modelId, MAX_MODEL_ID);
        _checkText("version", version, MAX_VERSION);
        if (contentHash == 0) revert ZeroHash();
        if (timestamp > block.timestamp + MAX_AHEAD) revert TimestampInFuture(timestamp, uint64(block.timestamp));

        bytes32 key = keccak256(abi.encode(modelId, version, contentHash));
        Production storage production = _productions[key];
        if (production.recorder != address(0)) return false;
        production.recorder = msg.sender;
        production.timestamp = timestamp;
        production.blockNumber = uint64(block.number);
        production.blockTime = uint64(block.timestamp);
        emit ProductionRecorded(key, contentHash, modelId, version, timestamp, msg.sender);
        return true;
    }

    /// @notice What is recorded of a version of a model with this passport.
    function recordOf(string calldata modelId, string calldata version, bytes32 contentHash)
        external
        view
        returns (bool exists, uint64 timestamp, uint64 blockNumber, uint64 blockTime, address recorder)
    {
        Production storage p = _productions[keccak256(abi.encode(modelId, version, contentHash))];
        return (p.recorder != address(0), p.timestamp, p.blockNumber, p.blockTime, p.recorder);
    }

    /// @notice Records a checkpoint of a transparency log: this many leaves have this root.
    /// @return created false if the same checkpoint is the newest one already
    function anchorLog(string calldata origin, uint64 treeSize, bytes32 rootHash)
        external
        onlyRole(ANCHORER_ROLE)
        whenNotPaused
        returns (bool created)
    {
        _checkText("origin", origin, MAX_ORIGIN);
        if (treeSize == 0) revert EmptyTree();
        if (rootHash == 0) revert ZeroHash();

        bytes32 originHash = keccak256(bytes(origin));
        uint64 last = _lastSize[originHash];
        if (treeSize < last) revert StaleAnchor(treeSize, last);
        if (treeSize == last) {
            bytes32 recorded = _anchors[originHash][last].rootHash;
            if (recorded != rootHash) revert ForkedAnchor(treeSize, recorded, rootHash);
            return false;
        }
        _lastSize[originHash] = treeSize;
        _anchors[originHash][treeSize] = Anchor(rootHash, uint64(block.number), uint64(block.timestamp));
        emit LogAnchored(originHash, treeSize, rootHash, origin);
        return true;
    }

    /// @notice The largest checkpoint of a log that is recorded; all zeros if none is.
    function lastAnchor(string calldata origin)
        external
        view
        returns (uint64 treeSize, bytes32 rootHash, uint64 blockNumber, uint64 blockTime)
    {
        bytes32 originHash = keccak256(bytes(origin));
        treeSize = _lastSize[originHash];
        Anchor storage a = _anchors[originHash][treeSize];
        return (treeSize, a.rootHash, a.blockNumber, a.blockTime);
    }

    /// @notice The checkpoint of a log at exactly this size, if it was recorded.
    function anchorOf(string calldata origin, uint64 treeSize)
        external
        view
        returns (bool exists, bytes32 rootHash, uint64 blockNumber, uint64 blockTime)
    {
        Anchor storage a = _anchors[keccak256(bytes(origin))][treeSize];
        return (a.rootHash != 0, a.rootHash, a.blockNumber, a.blockTime);
    }

    /// @notice Stops all recording. What is recorded stays readable.
    function pause() external onlyRole(PAUSER_ROLE) {
        _pause();
    }

    /// @notice Lets recording go on.
    function unpause() external onlyRole(PAUSER_ROLE) {
        _unpause();
    }

    function _checkText(string memory field, string calldata text, uint256 max) private pure {
        if (bytes(text).length == 0) revert EmptyText(field);
        if (bytes(text).length > max) revert TextTooLong(field, max);
    }
}
