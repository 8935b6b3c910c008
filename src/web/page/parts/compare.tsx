export function CompareCard() {
  return null;
}
