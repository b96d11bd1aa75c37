"""Points of a frame that move on their own: Lucas-Kanade there and back, less what a homography says the camera did.

Interest points are SIFT's (Lowe 2004), the flow of points is pyramidal Lucas-Kanade, the camera is a RANSAC homography
as in improved dense trajectories (Wang and Schmid 2013): the parts of Wang and Gupta's recipe that are maintained.
n points, (x, y) in pixels. Grey frames are (H, W) uint8.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from modalities.video.mining.motion import Frames

Points = NDArray[np.float32]  # (n, 2)
Flags = NDArray[np.bool_]

MOST = 400  # interest points of a frame
QUALITY, SPACE = 0.01, 4  # of corners: the weakest, as a share of the strongest, and pixels between two
BACK = 1.0  # pixels that a point may be off after going there and back
# Short sides within which a point obeys the homography, as 3 pixels in the paper's frames. Were it 3 pixels of small
# ones, a homography would bend to slow objects and logos, and call the ground moving.
CAMERA = 3 / 448
LEAST_POINTS = 10  # fewer tell nothing
STILL = 0.5  # of `moving`: a point that moves less on the screen is an overlay where the camera pans
WINDOW, LEVELS = 15, 3  # of Lucas-Kanade, in pixels and halvings


def interest(gray: Frames) -> Points:
    """At most MOST points of a frame: SIFT's, and where these are fewer the best corners (Shi and Tomasi 1994).

    In small frames SIFT finds a hundred, and a handful on a small object, which is then never seen to move.
    """
    import cv2

    sift: Any = cv2.SIFT.create(MOST, contrastThreshold=0.02)
    found = sift.detect(gray, None)
    found = sorted(found, key=lambda point: (-point.response, point.pt))[:MOST]
    places = np.array([point.pt for point in found], np.float32).reshape(-1, 2)
    places = np.unique(places, axis=0)  # SIFT gives a place once for each of its directions
    if len(places) == MOST:
        return places
    free = np.full_like(gray, 255)  # away from SIFT's, or a fine texture would outnumber the ground
    for x, y in places.astype(int).tolist():
        cv2.circle(free, (x, y), SPACE, 0, -1)
    corners = cv2.goodFeaturesToTrack(gray, MOST - len(places), QUALITY, SPACE, mask=free)
    if corners is None:
        return places
    return np.unique(np.concatenate([places, corners.reshape(-1, 2)]), axis=0)


def follow(before: Frames, after: Frames, points: Points) -> tuple[Points, NDArray[np.float32]]:
    """Where points of one frame lie in another, and how far they are off after going back, (n,); inf where lost."""
    import cv2

    if not len(points):
        return points, np.empty(0, np.float32)
    flow: Any = cv2.calcOpticalFlowPyrLK
    keys = {"winSize": (WINDOW, WINDOW), "maxLevel": LEVELS}
    there, seen, _ = flow(before, after, points.reshape(-1, 1, 2), None, **keys)
    back, again, _ = flow(after, before, there, None, **keys)
    off = np.linalg.norm(back.reshape(-1, 2) - points, axis=1)
    return there.reshape(-1, 2), np.where((seen & again).ravel() > 0, off, np.inf).astype(np.float32)


def on_their_own(before: Points, after: Points, moving: float, seconds: float, side: int) -> Flags | None:
    """Which points, (n,), moved against the camera by more than `moving` short sides a second. None: no camera found.

    `seconds` lie between the two frames, whose short side has `side` pixels. A point that stands still on the screen
    while the camera moves is part of an overlay, such as a logo, and does not count as moving.
    """
    import cv2

    if len(before) < LEAST_POINTS:
        return None
    cv2.setRNGSeed(0)
    camera, _ = cv2.findHomography(before, after, cv2.RANSAC, max(BACK, CAMERA * side))
    if camera is None:
        return None
    expected = cv2.perspectiveTransform(before.reshape(-1, 1, 2), camera).reshape(-1, 2)
    per_second = side * seconds
    own = np.linalg.norm(after - expected, axis=1) / per_second
    raw = np.linalg.norm(after - before, axis=1) / per_second
    return np.asarray((own > moving) & (raw > STILL * moving))
