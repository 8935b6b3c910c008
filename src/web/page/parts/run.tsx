export function RunCard() {
  return null;
}
